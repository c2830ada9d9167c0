"""The gateway: repositories of this home over HTTP on loopback, as unchanged Hugging Face tools ask a hub for them.

    HF_ENDPOINT=http://127.0.0.1:7700 hf download ORG/NAME

From the ground up: `revisions` and `routes` judge what was asked, `absent`, `tree` and `answers` say what a hub would
(all of them pure), `upload_routes`, `commits`, `xet` and `lz4` read what is uploaded; `shelf` is what is asked of
p2phub, `app` answers one request by it, `sending` sends its files; `api_shelf` is the shelf that a node's hub makes,
`open_files` opens files of `open_models` for it. `uploads` publishes by that hub to `own_repositories`; `large_files`
come before, into an `intake`. `sites` has what stands at the port. `oci` answers OCI clients and Ollama by the same
shelf. HTTP itself, and who may ask: `p2phub.http`.
Source: huggingface_hub 2.4, transformers 5.24, datasets 5.2 as clients; docs/decisions/0101-gateway.md.
"""
