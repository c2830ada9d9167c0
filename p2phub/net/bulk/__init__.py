"""The bulk process: the direct carrier in a child, whose threads share no interpreter with a busy trio loop.

    post      letters between parent and child, with descriptors, over one socket pair
    letters   values of the ports as letters, and back
    walkers   the files that a child serves: opened in folders that the parent opened, or by the parent one by one
    growing   what is held of a manifest that still arrives, asked for all connections together
    child     the child's program: a direct plane whose shelf, desk and plans are the parent's, asked by letter
    link      a link of the node whose thread is in a child
    questions what a child asks its parent, and how its threads and tasks wait for the answer
    answers   what it is answered: a stranger's questions, files of plans and of the shelf
    parent    starts children, hands connections and dials to them, takes up again what one that crashed let go

A child gets the TLS leaf key, plans and descriptors, never the node key, database or journal. While there is none (it
starts, or crashed just now) the same plane in this process does the work. Reasons, figures: docs/decisions/0021.
"""
