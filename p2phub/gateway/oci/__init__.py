"""The gateway for OCI clients and Ollama: what this home has, as a registry of artifacts below `/v2/`.

    oras pull --plain-http 127.0.0.1:7700/ORG/NAME:TAG
    ollama pull --insecure 127.0.0.1:7700/ORG/NAME:TAG

A registry's blobs are named by SHA-256, and so are the files of a manifest of ours: nothing is copied or packed. What a
client pulls is a small JSON document that names them, made here: a ModelPack artifact (`modelpack`), or an image of
Ollama's (`p2phub.api.ollama_image`). Only the files and what is in them go into it, so that each node gives the same.
From the ground up: `refusals`, `routes`, `names`, `choosing`, `modelpack` judge and tell (all of them pure);
`documents` are made of versions, `registry` finds them and blobs by the shelf, `site` answers one request.
Source: OCI distribution specification 1.1; ModelPack; ollama/ollama (`server/images.go`, `server/download.go`);
docs/decisions/0105-oci.md.
"""
