"""What to try where an error itself does not say: by whose fault it was, as `errors` has it."""

from __future__ import annotations

from p2phub import errors

_BY_KIND: tuple[tuple[type[errors.HubError], str], ...] = (  # The first that fits.
    (errors.UsageError, "`p2phub --help` lists the commands, `p2phub COMMAND --help` what one takes"),
    (errors.NotFound, "`p2phub ls` shows what is here; elsewhere, name a node that may know it with --bootstrap"),
    (errors.NotTrusted, "do not go on with it: ask its publisher, or fetch by a manifest digest that you trust"),
    (errors.ContentChanged, "`p2phub verify` shows what changed; publish the folder again if the change is yours"),
    (errors.Malformed, "copy or fetch it again; if it stays so, its publisher or that peer made it wrongly"),
    (errors.Damaged, "fetch it again: what is sound is kept, and other providers may have the rest"),
    (errors.DiskError, "`p2phub doctor` examines home and disk; the same command resumes"),
    (errors.NoProvider, "run the same command again later, or fetch with --wait 24h; what was verified is kept"),
    (errors.NodeGone, "run the same command again; `p2phub status` says whether the node runs"),
    (errors.PeerError, "run the same command again: it asks others, too; what was verified is kept"),
)


def advice(error: errors.HubError) -> str | None:
    """Return what to try: what the error says itself, else what fits its kind."""
    if error.hint is not None:
        return error.hint
    return next((what for kind, what in _BY_KIND if isinstance(error, kind)), None)
