"""What of a folder is published: the rule for junk, and the refusal of what looks like a secret.

The built-in rule is the list below; a `.p2phubignore` file in the folder (gitignore syntax) goes on with it: the last
pattern that matches decides, so `!*.tmp` there takes one back. A pattern given with `include` overrules both. It alone
names a secret as meant, for a file in the folder may be the work of whoever made the folder. `publish --dry-run` shows
what is left out, and why.
"""

from __future__ import annotations

from collections.abc import Sequence

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".p2phubignore"

JUNK = (
    ".git/",
    ".hg/",
    ".svn/",
    ".p2phub/",
    ".cache/",
    "__pycache__/",
    ".ipynb_checkpoints/",
    ".DS_Store",
    "._*",
    "Thumbs.db",
    "desktop.ini",
    "*.partial",
    "*.incomplete",
    "*.crdownload",
    "*.tmp",
    "*.swp",
    "*~",
    IGNORE_FILE,
)

SECRETS = (
    # Junk in a folder; but a draft is given files one by one, as by a browser that walks a dropped folder. Their config
    # may hold a password, their history whatever stood there once.
    ".git/",
    ".hg/",
    ".svn/",
    ".p2phub/",
    ".ssh/",
    ".gnupg/",
    ".aws/",
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
)


class Selection:
    """Decides, for one publish, about each path. `ignore_text` is the content of the folder's own ignore file."""

    def __init__(self, *, ignore_text: str = "", ignore: Sequence[str] = (), include: Sequence[str] = ()) -> None:
        self._rule = GitIgnoreSpec.from_lines([*JUNK, *ignore_text.splitlines(), *ignore])
        self._include = GitIgnoreSpec.from_lines(include)
        self._secrets = GitIgnoreSpec.from_lines(SECRETS)

    def ignore(self, path: str, is_folder: bool) -> str | None:
        """Return why to leave `path` (relative, `/`) out, or None to publish it."""
        probe = path + "/" if is_folder else path
        if self._include.match_file(probe):
            return None
        found = self._rule.check_file(probe)
        if not found.include:
            return None
        built_in = found.index is not None and found.index < len(JUNK)
        return "junk (built-in rule)" if built_in else f"your rule ({IGNORE_FILE} or --ignore)"

    def secret(self, path: str) -> bool:
        """Whether a file to be published looks like a secret that nobody named, whatever its case: `SERVER.PEM`."""
        return self._secrets.match_file(path.lower()) and not self._include.match_file(path)
