"""The page of a node: what is held, what moves and from whom, search, cards, publishing, in a browser on this machine.

    p2phub node --gateway          # and open the address that it prints

From the ground up: `asked` and `bodies` judge what was asked, `markdown`, `merging` and `listing` say how it is told
(all of them pure); `files` is the page itself, `card`, `rows` and `models` what is told of one model, `moving` and
`jobs` what happens, `drafts` what is dropped into the page; `page` answers a request by them, `sites` opens it.
The other half, which runs in the browser, is `static/`; what the two say to each other: docs/design/page.md.
"""
