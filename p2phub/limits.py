"""What others may cost at most, and every budget, each with its reason. Lengths are bytes, times seconds.

Here stand bounds on memory, on time, and on how many of anything others may send. How long a field of a format may be
stands with the format. A bound is checked before anything is allocated for what it bounds.
Source: proto/*.md; docs/decisions/.
"""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20

# --- content -----------------------------------------------------------------------------------------------------
CHUNK_BYTES_MAX = MIB  # The unit of request and proof: enough for one system call, small enough to resend.
TENSOR_GROUP_BYTES = 64 * KIB  # Whole tensors below this share a chunk: biases would each cost 36 bytes of list.
CHUNKS_PER_LIST_MAX = 32_768  # A chunk list stays below 1.2 MB; longer files use lists of lists.
CHUNKS_PER_FILE_MAX = 1 << 22  # 4 TiB a file at 1 MiB.
CHUNKS_MAX = 1 << 22  # Of a manifest. 4 TiB at 1 MiB; its lists are 150 MB, which is what a node can afford to hold.
CHUNK_LIST_BYTES_MAX = 16 + CHUNKS_PER_LIST_MAX * 36  # Header, then 36 bytes an entry.
HEADER_BYTES_MAX = 16 * MIB  # A tensor file's own header; safetensors itself allows 100 MB, real ones stay below 10.
GGUF_PAIRS_KEPT_MAX = 1 << 16  # Of metadata that is copied: real files have some 50; a header could hold a million.
WEIGHT_MAP_BYTES_MAX = 16 * MIB  # The index of a model in shards; that of 10^5 tensors has 9 MB.
WEIGHT_MAPS_MAX = 16  # Read for one selection: a model has one, and each of its variants.
TENSORS_PER_FILE_MAX = 1 << 18  # The largest public models have some 10^5.

# --- manifests and releases --------------------------------------------------------------------------------------
MANIFEST_ROOT_BYTES_MAX = 64 * KIB  # Comes first from a stranger, so it is small.
MANIFEST_PAGE_BYTES_MAX = MIB
FILES_MAX = 1 << 21
PARENTS_LOOKED_FOR_MAX = 4  # Of those that a release names, the one before it first: each is a search of its own.
PARENT_CHUNKS_MAX = 1 << 20  # Of one that is compared: 1 TiB, 38 MB of lists, and 80 MB while places are sorted.
PARENT_METADATA_PART = 16  # What describes it is read up to such a part of what is missing: else it does not pay.
PARENT_S = 60.0  # So long it may take until a parent is described; who waits for nobody else waits as long.
METADATA_BYTES_MAX = 256 * MIB  # All pages of a manifest together: what a fetch holds in memory until it begins.
BLOBS_ASKED_MAX = 1024  # Pages and chunk lists under way from one provider; BLOBS_PER_REQUEST_MAX until it gave one,
BLOBS_ASKED_BYTES_MAX = 8 * MIB  # and no more bytes: what another gave sooner comes in vain, before all chunks.
MANIFEST_PAGES_MAX = 4096  # 2^21 files at some 200 bytes.
PATH_BYTES_MAX = 1024
PATH_PART_BYTES_MAX = 255  # What every common file system takes.
PATH_DEPTH_MAX = 32
ALONE_BYTES_MIN = 64 * MIB  # Files from here on are announced alone too: one record more for what is worth finding so.
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
RECORD_BYTES_MAX = 256 * KIB  # Of a sealed record: a call and two system calls each; two buffers a bulk connection.
RECORDS_SPARE = 4  # Of one thing that is read, however short it is, and beyond these one for each
RECORD_BYTES_LEAST = KIB // 2  # On the average of a read: who sends crumbs makes us work more for a byte than it does.
TLS_HANDSHAKE_RECORDS_MAX = 32  # Taken of one handshake: a message may come in pieces of a byte. Ours make six.
TLS_SILENT_RECORDS_MAX = 32  # Of one connection after that, without a byte for us: two tickets, and no key updates.
BATCH_BYTES_MAX = MIB  # One buffer, one SSL_write, one answer.
BATCH_CHUNKS_MAX = 512
PREFIX_BYTES_MAX = MIB  # What a provider pushes unasked in the first flight.
PREFIX_CONTENT_BYTES_MAX = 4 * MIB  # Of larger content no chunks are pushed.
FLIGHT_BLOBS_MAX = 4096  # Blobs pushed in the first flight; their lengths and `held` must fit one frame.
BLOBS_PER_REQUEST_MAX = 64
BLOBS_KEPT_BYTES_MAX = 4 * MIB  # Of an answer with blobs, while it is sent: 64 of them could be 75 MB a connection.
WINDOW_BYTES_MAX = 16 * MIB  # In flight to one provider, and only to a far one so much: see `net.lease`.
REQUESTS_OUTSTANDING_MAX = 16  # Unanswered on one connection: their frames always fit the provider's socket buffer.
REQUESTS_WAITING_MAX = 64  # Queued at a provider for one connection.
HAVE_RANGES_MAX = 4096
BELIEVED_RUNS_MAX = 2 * HAVE_RANGES_MAX  # Of what one peer ever said to hold; beyond it only the newest word counts.
PEERS_TOLD_MAX = 64  # Members of a swarm named in one answer: 3.2 KB.

# --- connections -------------------------------------------------------------------------------------------------
PORT_DEFAULT = 4717
DATA_CONNECTIONS_MAX = 64
LIBP2P_CONNECTIONS_MAX = 96
LIBP2P_CONNECTIONS_PER_PEER_MAX = 4
UNDECIDED_CONNECTIONS_MAX = 1024  # First byte or handshake not done; each costs a task and a socket, no thread.
CONNECTIONS_PER_ADDRESS_MAX = 64  # Per IPv4 address or IPv6 /56; loopback and private networks are exempt.
CONNECTIONS_PER_PEER_MAX = 10  # BULK_THREADS_MAX of a fetch from afar, and its questions.
CONTROL_CONNECTIONS_MAX = 256  # Accepted; each costs two tasks and 50 KiB, no thread.
CONTROL_QUESTIONS_BURST = (
    64  # On one control connection; then CONTROL_QUESTIONS_PER_S. A fetch asks up to ten a second.
)
CONTROL_QUESTIONS_PER_S = 20.0
OFFERS_BYTES_MAX = 256 * MIB  # Of manifests that were asked for, made and kept; some 8 MB for a model of 100 GB.
OFFERS_MADE_BURST = 32  # For askers of one network; then OFFERS_MADE_PER_S: each reads all that describes a manifest.
OFFERS_MADE_PER_S = 1.0
BULK_THREADS_MAX = 8  # Further providers wait.
CROWD_LINKS_MAX = 16  # In place of that in a crowd, where each link is slow and whoever nobody asks is of no use.
DIAL_S = 5.0
HANDSHAKE_S = 10.0
FIRST_BYTE_S = 5.0
SOCKET_CALL_S = 20.0  # Bounds one blocking call; the watchdog bounds progress.
RATE_MIN = 16 * KIB  # Bytes/s that a message must make after SOCKET_CALL_S, or the connection is given up.
CAP_MIN = 4 * RATE_MIN  # Of --up and --down: below it a message could not keep RATE_MIN beside a second connection.
SLOT_RATE_MIN = 2 * RATE_MIN  # Under a cap, no more bulk connections than leaves each this much; others hear "busy".
STALL_S = 10.0  # No byte from a link that has a lease: revoke it and give its chunks to others.
TABS_MAX = 4096  # Of what parties took of us, each some 500 bytes; who was served longest ago is forgotten.
PEERS_PER_PARTY_MAX = 64  # Whose merits count for one address: a household, or an office behind one NAT.
GOT_TOLD_MAX = 64  # Peers of whom a requester says how much it got, in one question: 2.7 KB.
GIVES_WAY_S = 1.0  # A served connection idle for this long gives its place to a newcomer when all are taken: in a crowd
# of more than there are places each comes for its share, and then waits for what the others bring.
IDLE_LINK_S = 60.0  # A bulk connection without a lease is closed.
HEARTBEAT_S = 5.0  # On the control connection.
NEWS_WAIT_MS_MAX = 10_000  # How long an answer may be held until there is news: half of SOCKET_CALL_S.
NEWS_S = 0.25  # How soon a provider that told us something is asked for more: what comes meanwhile is told together…
NEWS_SOON_S = 0.1  # …and while it has nothing for us, or is not known for long.
THANKS_S = 1.0  # How often a provider is told what others gave us: a crowd's publisher shares out by that.
GOODBYE_S = 1.0
REPORT_S = 0.1  # The carrier reports at most this often: each hand-off to the loop costs 50 us.
REPORT_BYTES = 24 * MIB  # …or so much at a time: what is not told yet is fetched again after a kill -9.
REPORTS_WAITING_MAX = 1024
SOON_RUNS_MAX = 4096  # Of an order hint: what is beyond comes in its usual order,
SOON_LAPS_MAX = 256  # and what goes back more often ascends from there on: each is looked at for each grant.
READERS_REST_S = 1.0  # Its links go after so long: a provider serves few of one peer, and other models may be read.
READERS_IDLE_S = 20.0  # A fetch for readers of whom nobody wants anything: the lock of its folder goes then.
READERS_IDLE_ALONE_S = 1.0  # The same without a daemon: another process of this home may wait for that lock.
READERS_TURN_S = 120.0  # How long that one is waited for, or another hub of this process,
READERS_LOOK_S = 0.1  # and how often it is looked whether it is done.
READ_AT_ONCE_BYTES_MAX = 64 * MIB  # What one reader may have asked for at a time: that much comes if it goes away.
SOON_RANGES_MAX = 64  # Ranges of files that somebody reads while they are fetched; the oldest is forgotten.
FIRST_PATTERNS_MAX = 64  # Each is compared with every path.
EARLY_LOOKS_MAX = 16  # Files looked into before the rest is fetched: in a crowd all want the same chunks of these.

# --- mirrors -----------------------------------------------------------------------------------------------------
MIRRORS_MAX = 16  # In one fetch, of those given and those configured.
MIRROR_URL_BYTES_MAX = 8 * KIB  # Signed URLs that servers of large files redirect to have some 2 KiB.
MIRROR_REQUESTS_AT_ONCE = 2  # On one link: while one is hashed and written, the next is on its way.
MIRROR_IDLE_MAX = 4  # Connections kept for a link: to the mirror and to where it redirects, for each request at once.
MIRROR_RUN_BYTES_MAX = 4 * MIB  # Of one request, and of an answer that ignores the range: what a buffer holds.
MIRROR_REDIRECTS_MAX = 5  # Of one request; real servers need one or two.
MIRROR_HEADER_BYTES_MAX = 64 * KIB  # Status line and headers of one answer, and a chunk's own header.
MIRROR_INTERIM_ANSWERS_MAX = 16  # "100 Continue" and the like before an answer: nobody needs more than a few.
MIRROR_LEFT_OVER_BYTES_MAX = 64 * KIB  # Read of a body that nobody wants, so that its connection can be used again.
UPSTREAM_ANSWER_BYTES_MAX = 16 * MIB  # What a hub tells of a repository has no pages: of 100,000 files some 10 MB.
UPSTREAM_LISTING_BYTES_MAX = 64 * MIB  # Of all its pages: 100,000 files with long names have some 30.
UPSTREAM_FILES_MAX = 100_000  # Of one commit of an upstream hub; larger ones are not passed on.
UPSTREAM_LISTINGS_MAX = 16  # Kept in memory, up to 30 MB each; what is asked for is mostly the last.
UPSTREAM_REQUESTS_AT_ONCE = 8  # As many as a client has downloads under way; what is asked beyond that waits.
UPSTREAM_SPAN_BYTES = 64 * MIB  # Asked for at a time: where it breaks off, that is where it goes on.
UPSTREAM_WHOLE_BYTES = 8 * MIB  # Files up to this are had whole and checked before a byte of them is passed on.
UPSTREAM_HELD_BACK_BYTES = MIB  # Of a larger one so much waits until all of it was checked.
UPSTREAM_LEFT_S = 60.0  # A file that nobody waits for any more comes on for so long.
UPSTREAM_WRONG_S = 600.0  # A file that was not what its hub lists is not asked for again for so long.
MIRROR_ADDRESSES_MAX = 16  # Of one name; each is checked, and tried in turn.

# --- discovery ---------------------------------------------------------------------------------------------------
PROVIDERS_PER_FETCH_MAX = 256  # Considered in one fetch; a stranger may name any number.
HEARSAY_PER_FETCH_MAX = 128  # Of those, known by the word of others alone: they cannot crowd out whom a search finds.
HEARSAY_PER_PEER_MAX = 2  # Addresses that others give of one peer; an honest one knows one, and each may cost DIAL_S.
PROVIDERS_PER_KEY_MAX = 64
PROVIDER_KEYS_MAX = 50_000
PROVIDER_RECORD_S = 48 * 3600.0
PROVIDER_PER_SUBNET_MAX = 2  # Of one /24 or /48; loopback and private networks are exempt.
MEMBER_S = 600.0  # A member of a swarm is told to others this long after it was last seen.
MEMBER_MOVES_S = 10.0  # One that is at another port of its network is told to those who know it this often at most.
SWARM_MEMBERS_MAX = 256  # Remembered of one swarm; the oldest give way.
SWARMS_KNOWN_MAX = 64  # 256 members each are some 5 MB.
MEMBERS_PER_NETWORK_MAX = 8  # Of one swarm in one /24 or /48, or behind one address: identities are not all of it.
CANDIDATES_MAX = 1024  # Addresses taken in by one search, whoever named them.
CANDIDATES_PER_TELLER_MAX = 64  # What one peer says of others in one fetch: inventions cost this many dials at most.
HEARD_PROVIDER_S = 600.0  # What a third party claims is remembered this long, never served.
ADDRESSES_PER_PEER_MAX = 16
DHT_ADDRESSES_PER_PEER_MAX = 12  # Of those named by a search, PROVIDER_ADDRESSES_MAX by one that answers.
ADDRESSES_TRIED_MAX = 64  # Of one peer in one fetch; from then on none gives way to one that others name.
ANNOUNCE_S = 6 * 3600.0  # Re-announce; records live 24-48 h, so three failures are survived.
ANNOUNCE_RETRY_S = 60.0
DHT_KEY_BYTES_MAX = 80
KNOWN_PEERS_MAX = 512
LOOKUP_S = 30.0
LOOKUP_CANDIDATES_MAX = 256  # The closest ones heard of; what is further away cannot matter any more.
DHT_REPLICATION = 20  # Kademlia's k: a record survives 22 h of churn with all but 1e-9 (facts of IPFS: 13 of 20 stay).
DHT_PARALLEL = 6  # Questions of one lookup under way at once.
DHT_MESSAGE_BYTES_MAX = 64 * KIB  # 20 closer peers, 64 providers and a release fit with room to spare.
DHT_STRAGGLER_S = 1.5  # Once a release was found: how long those who have not answered yet are waited for.
DHT_RPC_S = 6.0  # Dial, handshake and one question; a peer that takes longer is no help.
DHT_STREAMS_MAX = 64  # Questions of strangers being answered at once; further streams are reset.
DHT_STREAMS_PER_PEER_MAX = 8
DHT_QUESTIONS_BURST = 200  # Of one peer; then DHT_QUESTIONS_PER_S.
DHT_QUESTIONS_PER_S = 50.0
DHT_PEERS_COUNTED_MAX = 4096  # Of whom it is counted what they ask, or are told; who was so longest ago begins anew.
ANNOUNCE_BURST = 8  # Announcements to one receiver at once; then one a second.
PROVIDER_RECORDS_MAX = 100_000  # Over all keys; some 50 MB.
PROVIDER_KEYS_PER_PEER_MAX = 5_000
PROVIDER_REPLACE_S = 60.0  # A full list takes one stranger a minute, so that squatters cannot wash others out.
PROVIDER_ADDRESSES_MAX = 4  # Stored with a provider record.
RELEASE_RECORDS_MAX = 8192  # Held for others: 32 MB at most.
RELEASE_RECORDS_PER_PUBLISHER_MAX = 512
RELEASE_RECORD_S = 48 * 3600.0
RELEASE_QUORUM = 5  # Holders that agree end the search for a release.
ROUTING_PER_SUBNET_MAX = 2  # In a bucket; one more in the whole table.
ROUTING_REFRESH_S = 600.0
NEWCOMERS_WAITING_MAX = 256  # That asked us something and are to be dialled for the table.
NEWCOMERS_AT_ONCE = 8  # Each may be silent for NEWCOMER_S; of one /24 or /48 one at a time.
NEWCOMER_S = 5.0  # Dial and handshake in all: who takes longer is no help in a lookup either.
DIALS_PER_ADDRESS_MAX = 3  # To one public IP where nobody proved an identity, in DIALS_WINDOW_S.
DIALS_PER_PRIVATE_ADDRESS_MAX = 32  # Many peers of one household share an address.
DIALS_WINDOW_S = 600.0
DIALS_REMEMBERED_MAX = 4096  # Addresses whose dials are counted; the oldest are forgotten.
DIAL_AGAIN_S = 60.0  # So long after the last of them there is one more: whoever was down is found when it is back.
LAN_SAID_MAX = 1024  # Neighbours remembered, some 2 KB each: a network of 254 with some nodes each.
LAN_PEERS_MAX = 64  # That one question goes to,
LAN_PEERS_PER_ADDRESS_MAX = 8  # and of those at one address: a machine of several users has some.
LAN_ADDRESSES_MAX = 4  # Of one neighbour: with LAN_PEERS_MAX, what one question may have us dial.
LAN_LOOK_S = 2.0  # Neighbours answer within 0.3 s; a search does not wait longer after the start of its node.
LAN_ASK_S = 5.0  # One neighbour's answer about a release, dial and handshake included.
LIBP2P_HANDSHAKES_MAX = 256  # Under way at once on connections that came in.
LIBP2P_STREAMS_PER_CONNECTION_MAX = 64
LIBP2P_BUFFERED_BYTES_MAX = 4 * MIB  # Received on one connection and not read yet; libp2p itself has no such bound.
LIBP2P_CONNECTION_IDLE_S = 120.0

# --- store -------------------------------------------------------------------------------------------------------
JOURNAL_BYTES_MAX = 256 * MIB  # Read of a journal: 2^22 hints that came one by one are 100 MB, and marks come together.
SYNC_BYTES = 64 * MIB  # Of verified work that may be lost; where a disk takes more in a quarter of a second, that much.
SYNC_BEGIN_BYTES = 24 * MIB  # After which a sync begins, if none runs, or after…
SYNC_S = 2.0
SYNC_SOON_S = 0.5  # Where somebody waits for whole files: they are at their place after a sync.
RACY_FINGERPRINT_S = 2.0  # A file modified this recently when it was hashed may change again unseen.
HISTORY_MAX = 64  # Releases remembered of one name, for `log`; at 4 KiB each this is what state.log can carry.
FREE_SPACE_RESERVE_BYTES = 16 * MIB
CACHE_LISTING_BYTES_MAX = 64 * MIB  # Of a repository in another program's cache: 300,000 files at some 200 bytes.
CACHE_MANIFEST_BYTES_MAX = 4 * MIB  # Of Ollama: some 150 bytes a layer, and a layer for each tensor at most.
CACHE_SETTINGS_BYTES_MAX = MIB  # Of LM Studio; real ones have a few KiB.
SHARED_CATALOGUE_BYTES_MAX = 16 * MIB  # Of a shared place: 65,536 folders and names at some 250 bytes.
SHARED_LISTED_MAX = 65_536  # Folders in one catalogue,
SHARED_NAMED_MAX = 65_536  # and releases.
SHARED_FILES_MAX = FILES_MAX  # Of one place, all manifests together: 30 bytes of our index each,
SHARED_CHUNKS_MAX = 1 << 24  # and their chunks, 16 TiB at 1 MiB: some 20 bytes each.
SHARED_PLACES_MAX = 16  # Attached; each is looked at before a fetch.
SHARED_WRITER_BYTES_MAX = 128  # Who shares it, in text: a peer id has 52.

# --- node --------------------------------------------------------------------------------------------------------
CONTROL_REQUEST_BYTES_MAX = 256 * KIB
JOBS_MAX = 64
JOBS_EXPLAINED_MAX = 32  # In one pulse, the newest: each looks at all its sources.
HOLDINGS_ASKED_MAX = 200  # At a time, of those that a page of a list shows.
EXTENTS_FILES_MAX = 10_000  # Told of in one answer about which bytes are here.

# --- search ------------------------------------------------------------------------------------------------------
SEARCH_QUERY_CHARS_MAX = 256  # What a person types; a publisher's key has 52.
SEARCH_WORDS_MAX = 16  # Of a query: each is a list that is read; more than a handful find nothing anyway.
SEARCH_TEXT_CHARS_MAX = 1024  # Of one text of an entry; longer than any name or description may be.
SEARCH_WORD_CHARS_MAX = 64  # Words that agree so far are the same one.
SEARCH_LABELS_MAX = 64  # Of an entry, and as many formats: what one is found by stays some kilobytes.
SEARCH_LIMIT_MAX = 200  # Entries in one answer.
SEARCH_DEPTH_MAX = 10_000  # How far pages go on: what is behind them is found by asking for more words.
SEARCH_RERANKED = 300  # Compared word by word, some 15 us each, of those that stand first.
SEARCH_BEGUN_MAX = 32  # Words that one which is only begun may stand for, the most common first.
SEEN_RELEASES_MAX = 1_000_000  # Kept though they are not held, some 600 bytes each; beyond it the oldest seen goes.

# --- gateway -----------------------------------------------------------------------------------------------------
GATEWAY_HEAD_BYTES_MAX = 16 * KIB  # Of a request: PATH_BYTES_MAX percent-encoded is 3 KiB, a token one more.
GATEWAY_TARGET_BYTES_MAX = 8 * KIB
GATEWAY_BODY_BYTES_MAX = MIB  # Of a question about paths; clients ask about some hundred at a time.
GATEWAY_PATHS_MAX = 10_000  # In one question.
GATEWAY_OPTIONS_MAX = 64  # Behind a question mark; clients send a handful.
GATEWAY_CONNECTIONS_MAX = 2048  # Each costs a task, two descriptors and some 25 KB; clients open 8 for each download.
GATEWAY_ENDING_MAX = 64  # Beside those: what is being let go of, each a socket for GATEWAY_GOODBYE_S; more are reset.
GATEWAY_HEAD_S = 5.0  # From the first byte of a request to the end of its head: programs of this machine send at once.
GATEWAY_BODY_S = 10.0
GATEWAY_IDLE_S = 75.0  # Between two requests on one connection; clients let go of theirs after 5 s.
GATEWAY_LONG_ANSWERS_MAX = 4  # Under way at once, of those that tell of very many files: 200 MB each at most.
GATEWAY_UNREAD_S = 600.0  # A client that takes nothing for so long is cut off; until then it costs a socket.
GATEWAY_STUCK_S = 10.0  # Where all connections are at work, one whose client took nothing for so long gives way.
GATEWAY_FIRST_PIECE_S = 8.0  # How long an answer waits for its first bytes, to say 503 if nobody has them: clients
# wait 10 s for its head, and then between bytes.
GATEWAY_LOOKUP_S = 60.0  # To look up what is not known here: some clients wait for a listing for so long.
GATEWAY_GONE_S = 5.0  # A client that said its last is taken for gone if nothing could be sent to it for so long.
GATEWAY_GOODBYE_S = 2.0  # For a client to read what was sent to it before its connection is let go of.
GATEWAY_SIZE_TOLD_MAX = 50 * 10**9  # In the head of a file: clients of the hub refuse a larger one that has no Xet.
GATEWAY_FRESH_S = 60.0  # A name's release is looked up again after so long: a client asks for it many times in a row.
GATEWAY_FILES_KEPT_MAX = 500_000  # In listings kept in memory, some 300 bytes each; the largest gets its turn alone.
GATEWAY_REGULAR_BYTES_MAX = MIB  # Of an uploaded file that comes in a commit; larger ones come by themselves.
GATEWAY_COMMIT_LINE_BYTES_MAX = 16 * MIB  # Of one file in a commit: clients of 10 MiB that were not asked send it so.
GATEWAY_COMMIT_FILES_MAX = 50_000  # In one commit; clients send some 250.
GATEWAY_COMMITS_MAX = 4  # Read at once, each with a line in memory.
GATEWAY_PREUPLOAD_BYTES_MAX = 8 * MIB  # 256 files with 512 bytes of each in base64 are 300 KiB.
GATEWAY_OBJECTS_MAX = 65_536  # That were offered to be uploaded and did not come yet; the oldest are forgotten.
GATEWAY_OBJECT_BYTES_MAX = 1 << 44  # Of one uploaded file: 16 TiB, which the disk refuses long before.
GATEWAY_UPLOAD_IDLE_S = 1800.0  # What was uploaded or dropped and not published goes so long after the last of it.
GATEWAY_CREATED_MAX = 1024  # Repositories that were made and have nothing yet.
GATEWAY_XORB_BYTES_MAX = 72 * MIB  # Xet's own bound is 64 MiB before its footer.
GATEWAY_XORB_CHUNKS_MAX = 16_384  # Xet has 8,192.
GATEWAY_CHUNK_BYTES_MAX = MIB  # Unpacked or packed; Xet's own bound is 128 KiB.
GATEWAY_XORBS_MAX = 65_536  # In one upload: 4 TiB.
GATEWAY_SHARD_BYTES_MAX = 64 * MIB
GATEWAY_SHARDS_READ_MAX = 2  # At once, each in memory.
GATEWAY_SEGMENTS_MAX = 1 << 20  # And files, of one shard, and of all shards of one upload: some 200 bytes each.
GATEWAY_CHUNKS_MAX = 1 << 25  # In one upload, each 8 bytes in memory: 2 TiB of chunks as Xet cuts them.
GATEWAY_MODELS_OPEN_MAX = 16  # Kept open for the next request; more are opened, and closed after each.
GATEWAY_MODEL_IDLE_S = 60.0  # So long after the last request for one it is closed: until then its fetch is under way.
OCI_MANIFEST_BYTES_MAX = 4 * MIB  # What clients and registries take of one: the OCI specification asks for no more.
OCI_LAYERS_MAX = 16_384  # Files in it: each takes 240 bytes there, and its path twice.
OCI_DOCUMENTS_KEPT_MAX = 8  # Of the last made, so that many who are sent one at once have it in memory once.
OCI_GGUF_MAX = 64  # Of one version, that Ollama can be given: the header of each may be read to find what has a digest.
OCI_HEADERS_READ_MAX = 4  # At once; each is HEADER_BYTES_MAX of memory at most.
OCI_FACTS_KEPT_MAX = 1024  # What such headers say, 100 bytes each.
OCI_VERSIONS_KEPT_MAX = 16  # With what is in them by digest: 4 MB each at most.
OCI_VERSIONS_SEARCHED_MAX = 64  # For a digest: as many as are known of one tag.
OCI_SEARCH_S = 20.0  # For a digest that no version at hand has; clients wait for half a minute or longer.
OCI_PAGE_MAX = 1000  # Tags or names in one answer.
OCI_ALIAS_S = 5.0  # What a name spelled otherwise stands for is looked up again after so long, as a commit is.
OLLAMA_TEXT_BYTES_MAX = MIB  # A template or licence with a model: Ollama reads it into memory each time that it runs.

# --- the page ----------------------------------------------------------------------------------------------------
# What is dropped into it has the bounds of uploads. Those of the child that reads rows: web/reading_rows, which has
# nothing of this package.
PAGE_REF_LETTERS_MAX = 4096  # A ticket with its addresses has some hundred.
PAGE_WORDS_LETTERS_MAX = 200  # What a person types.
PAGE_BODY_BYTES_MAX = 64 * KIB  # The largest that is asked: 64 patterns of tensors, 1 KiB each.
PAGE_DRAFTS_MAX = 8  # Open at once; a person drops one folder after the other.
PAGE_JOBS_MAX = 32  # Under way at once, begun by the page; each is a fetch with its own links.
PAGE_PROVIDERS_MAX = 16  # Said by a person for one fetch.
PAGE_ALLOWED_MAX = 512  # Nodes that may fetch what is private: as many keys as a body has room for.
PAGE_LISTENERS_MAX = 64  # Pages that listen at once; each has a connection.
PAGE_TENSORS_KEPT_MAX = 200_000  # Of models that were looked at last: some 300 bytes each.
PAGE_CARDS_KEPT_MAX = 16  # With their pictures up to 21 MiB each; some KiB as a rule.
PAGE_DANGERS_KEPT_MAX = 4096  # Of files that were looked at, a line each.
CARD_BYTES_MAX = 128 * KIB  # So much is shown: at the worst (stars, open tags) it takes one and a half seconds.
CARD_LINE_LETTERS_MAX = 16_384  # What is longer was written by no hand, and some rules are slow for it.
CARD_BRACKETS_MAX = 8192  # Beginnings of links and pictures: 65,536 that lead nowhere take three seconds.
CARD_WEIGHT_MAX = 32_768  # Of its lines (`web.markdown`): less than a second; one of 50 KiB of tables has some 8,000.
CARD_NESTING_MAX = 20
CARD_PICTURES_MAX = 16
CARD_PICTURE_BYTES_MAX = MIB  # Of each; all of them are in memory, and in the document.
ROWS_READ_BYTES_MAX = 32 * MIB  # Of one file, for its first rows: what of it is not here is fetched.
ROWS_READERS_MAX = 2  # Children at once, of some 100 MB each.
