"""What stands at a port of this machine and speaks HTTP: the gateway for Hugging Face tools, the page, what watches.

Each of them is a `Site` for some paths of the one port (`front`). Who may ask is judged before any of them hears of it
(`guard`, and `whose` for which user's program asks); `server` has a bounded number of connections, `connection` speaks
HTTP/1.1 on one, with `sending` for bytes of files, and hands each request on as an `exchange`; `target`, `ranges` and
`refusal` are what several sites read and say; `traffic` counts; `serving` puts it together beside a node.
"""
