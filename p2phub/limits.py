"""Every bound on foreign input and every budget, each with its reason. Lengths are bytes, times seconds.

A bound is checked before anything is allocated for what it bounds. Source: proto/*.md; DESIGN figures in docs/decisions.
"""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20

# --- content -----------------------------------------------------------------------------------------------------
CHUNK_BYTES_MAX = MIB  # The unit of request and proof: large enough for one system call a chunk, small enough to resend.
TENSOR_GROUP_BYTES = 64 * KIB  # Whole tensors below this group up to one chunk: biases would each cost 36 bytes of list.
CHUNKS_PER_LIST_MAX = 32_768  # A chunk list stays below 1.2 MB; longer files use lists of lists.
CHUNKS_PER_FILE_MAX = 1 << 22  # 4 TiB a file at 1 MiB.
CHUNK_LIST_BYTES_MAX = 16 + CHUNKS_PER_LIST_MAX * 36  # Header, then 36 bytes an entry.
HEADER_BYTES_MAX = 16 * MIB  # A tensor file's own header; safetensors itself allows 100 MB, real ones stay below 10.
TENSORS_PER_FILE_MAX = 1 << 18  # The largest public models have some 10^5.

# --- manifests and releases --------------------------------------------------------------------------------------
MANIFEST_ROOT_BYTES_MAX = 64 * KIB  # Comes first from a stranger, so it is small.
MANIFEST_PAGE_BYTES_MAX = MIB
FILES_MAX = 1 << 21
MANIFEST_PAGES_MAX = 4096  # 2^21 files at some 200 bytes.
PATH_BYTES_MAX = 1024
PATH_PART_BYTES_MAX = 255  # What every common file system takes.
PATH_DEPTH_MAX = 32
GIT_SHA1_FILE_BYTES_MAX = 10 * MIB  # The hub names files below this by git SHA-1, larger ones by SHA-256.
RELEASE_BYTES_MAX = 4 * KIB
RELEASE_LIFETIME_S = 400 * 86_400
CLOCK_SKEW_S = 300  # A signer's clock may be this far ahead of ours.
SEQUENCE_AHEAD_MS = 86_400_000  # A jump beyond now + 1 day is a fast-forward attack or a broken clock.
SEQUENCE_MAX = (1 << 63) - 1
DESCRIPTION_BYTES_MAX = 512
PARENTS_MAX = 16
MSGPACK_DEPTH_MAX = 16
TICKET_PROVIDERS_MAX = 4
TICKET_ADDRESSES_MAX = 4
TICKET_BYTES_MAX = 8 * KIB

# --- wire --------------------------------------------------------------------------------------------------------
FRAME_HEADER_BYTES_MAX = 64 * KIB  # A msgpack header; payload is never inside it.
REQUEST_RANGES_MAX = 512  # (first, count) pairs in one request.
BATCH_BYTES_MAX = MIB  # One buffer, one SSL_write, one answer.
BATCH_CHUNKS_MAX = 512
PREFIX_BYTES_MAX = MIB  # What a provider pushes unasked in the first flight.
BLOBS_PER_REQUEST_MAX = 64
WINDOW_BYTES_MAX = 4 * MIB  # In flight to one provider; 250 ms of the measured rate below that.
REQUESTS_WAITING_MAX = 64  # Queued at a provider for one connection.
CONTROL_FRAME_BYTES_MAX = 64 * KIB
HAVE_RANGES_MAX = 4096
PEERS_PER_MESSAGE_MAX = 32

# --- connections -------------------------------------------------------------------------------------------------
PORT_DEFAULT = 4717
DATA_CONNECTIONS_MAX = 64
LIBP2P_CONNECTIONS_MAX = 96
UNDECIDED_CONNECTIONS_MAX = 1024  # First byte or handshake not done; each costs a task and a socket, no thread.
CONNECTIONS_PER_ADDRESS_MAX = 64  # Per IPv4 address or IPv6 /56; loopback and private networks are exempt.
CONNECTIONS_PER_PEER_MAX = 4
BULK_THREADS_MAX = 8  # Further providers wait.
DIAL_S = 5.0
HANDSHAKE_S = 10.0
FIRST_BYTE_S = 5.0
SOCKET_CALL_S = 20.0  # Bounds one blocking call; the watchdog bounds progress.
STALL_S = 10.0  # No byte from a link that has a lease: revoke it and give its chunks to others.
IDLE_LINK_S = 60.0  # A bulk connection without a lease is closed.
HEARTBEAT_S = 5.0  # On the control connection.
GOODBYE_S = 1.0
REPORT_S = 0.1  # The carrier reports at most this often: each hand-off to the loop costs 50 us.
REPORTS_WAITING_MAX = 1024

# --- discovery ---------------------------------------------------------------------------------------------------
PROVIDERS_WANTED = 5  # Distinct and proven; more are learned from the swarm.
PROVIDERS_PER_KEY_MAX = 64
PROVIDER_KEYS_MAX = 50_000
PROVIDER_RECORD_S = 48 * 3600.0
PROVIDER_PER_SUBNET_MAX = 2  # Of one /24 or /48; loopback and private networks are exempt.
HEARD_PROVIDER_S = 600.0  # What a third party claims is remembered this long, never served.
ADDRESSES_PER_PEER_MAX = 16
ANNOUNCE_S = 6 * 3600.0  # Re-announce; records live 24-48 h, so three failures are survived.
ANNOUNCE_RETRY_S = 60.0
DHT_KEY_BYTES_MAX = 80
KNOWN_PEERS_MAX = 512
LOOKUP_S = 30.0

# --- store -------------------------------------------------------------------------------------------------------
SYNC_BYTES = 64 * MIB  # A power cut loses at most this much verified work, or SYNC_S of it.
SYNC_S = 2.0
RACY_FINGERPRINT_S = 2.0  # A file modified this recently when it was hashed may change again unseen.
FREE_SPACE_RESERVE_BYTES = 16 * MIB

# --- node --------------------------------------------------------------------------------------------------------
CONTROL_REQUEST_BYTES_MAX = 256 * KIB
JOBS_MAX = 64
SHUTDOWN_S = 1.5
