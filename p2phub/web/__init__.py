"""The page of a node: what is held, what moves and from whom, search, cards, publishing, in a browser on this machine.

    p2phub node --gateway          # and open the address that it prints

From the ground up: `asked` and `bodies` judge what was asked, `markdown` and `merging` say how a card and a map are
told, `policy` what a browser may do with it (all of them pure); `files` is the page itself, `listing` what is held and
was seen, `models` what is told of one model, with its card, `rows` the first rows of a table, which a child reads
(`reading_rows`); `moving` and `jobs` are what happens, `drafts` what is dropped into the page; `page` answers a request
by them, `sites` opens it.
The other half, which runs in the browser, is `static/`; what the two say to each other: docs/design/page.md.
"""
