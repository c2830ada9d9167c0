"""The gateway: repositories of this home over HTTP on loopback, as unchanged Hugging Face tools ask a hub for them.

    HF_ENDPOINT=http://127.0.0.1:7700 hf download ORG/NAME

From the ground up: `ranges`, `revisions`, `routes` and `guard` judge what was asked, `tree` and `answers` say what a
hub would (all of them pure); `shelf` is what is asked of p2phub, `app` answers one request by it, `server` speaks HTTP
and knows by `whose` with which user, `api_shelf` is the shelf that a node's hub makes, `serving` puts them together.
Source: huggingface_hub 2.4, transformers 5.24, datasets 5.2 as clients; docs/decisions/0101-gateway.md.
"""
