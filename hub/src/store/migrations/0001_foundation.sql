-- Times are milliseconds since 1970 (UTC) by the database's clock. Secrets are stored as hexadecimal SHA-256.

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- `routes` counts the generations of the route table.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('routes', 1);

-- Hub processes that answer; the proxy's default route.
CREATE TABLE hubs (
    id      TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    seen    INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    admin         INTEGER NOT NULL DEFAULT 0,
    password      TEXT,             -- argon2id, PHC form
    cookie_id     TEXT NOT NULL,    -- changing it ends all sessions
    welcomed      INTEGER NOT NULL DEFAULT 0, -- was offered a name and a password
    created       INTEGER NOT NULL,
    last_activity INTEGER,
    deleted       INTEGER           -- asked to be deleted; the row goes when its servers are gone
) STRICT;

CREATE TABLE identities (
    issuer  TEXT NOT NULL,
    sub     TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (issuer, sub)
) STRICT;
CREATE INDEX identities_user ON identities (user_id);

-- Single-use links: sign-in, invitation, password reset.
CREATE TABLE links (
    hash       TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('signin', 'invite', 'reset')),
    user_id    INTEGER REFERENCES users (id) ON DELETE CASCADE,
    admin      INTEGER NOT NULL DEFAULT 0,
    note       TEXT NOT NULL DEFAULT '',
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    used       INTEGER,
    created_by INTEGER REFERENCES users (id) ON DELETE SET NULL
) STRICT;

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       TEXT NOT NULL UNIQUE, -- of the cookie jupyterhub-hub-login
    session_id TEXT NOT NULL UNIQUE, -- the cookie jupyterhub-session-id
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created    INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    expires    INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE servers (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    wanted        TEXT NOT NULL DEFAULT 'stopped' CHECK (wanted IN ('running', 'stopped', 'deleted')),
    generation    INTEGER NOT NULL DEFAULT 1, -- raised with every change of what is wanted
    launch        TEXT,                       -- the present launch
    ending        TEXT,                       -- the launch that must end, whatever is wished after it
    attempts      INTEGER NOT NULL DEFAULT 0, -- launches made for the present wish
    failure       TEXT,                       -- why the last start or run ended, in words
    options       TEXT,                       -- the options of the last start, JSON
    created       INTEGER NOT NULL,
    last_activity INTEGER,
    lease_owner   TEXT,
    lease_until   INTEGER NOT NULL DEFAULT 0,
    fence         INTEGER NOT NULL DEFAULT 0, -- raised with every lease
    UNIQUE (user_id, name)
) STRICT;

CREATE TABLE launches (
    id         TEXT PRIMARY KEY,
    server_id  INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    phase      TEXT NOT NULL CHECK (phase IN
                   ('planned', 'creating', 'binding', 'waiting', 'ready', 'stopping', 'removing', 'gone')),
    phase_at   INTEGER NOT NULL,
    ticket     INTEGER NOT NULL,
    plan       TEXT NOT NULL, -- JSON
    address    TEXT,
    seen       TEXT,          -- what the engine was last seen to have, JSON; NULL is unknown
    seen_at    INTEGER,
    version    TEXT,          -- of the single-user server, as it said
    created    INTEGER NOT NULL,
    ready_at   INTEGER,
    ended_at   INTEGER
) STRICT;
CREATE INDEX launches_server ON launches (server_id);
CREATE INDEX launches_phase ON launches (phase) WHERE phase <> 'gone';

-- Who waits to start, first in, first out.
CREATE TABLE tickets (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id INTEGER NOT NULL UNIQUE REFERENCES servers (id) ON DELETE CASCADE,
    created   INTEGER NOT NULL
) STRICT;

CREATE TABLE progress (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('step', 'ready', 'failed')),
    percent   INTEGER NOT NULL,
    message   TEXT NOT NULL
) STRICT;
CREATE INDEX progress_server ON progress (server_id, id);

CREATE TABLE routes (
    prefix    TEXT PRIMARY KEY,
    server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    target    TEXT -- NULL is pending
) STRICT;

CREATE TABLE oauth_clients (
    id           TEXT PRIMARY KEY,
    server_id    INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    launch       TEXT NOT NULL,
    secret_hash  TEXT NOT NULL,
    redirect_uri TEXT NOT NULL
) STRICT;

CREATE TABLE oauth_codes (
    hash         TEXT PRIMARY KEY,
    client_id    TEXT NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id   TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    scopes       TEXT NOT NULL, -- JSON list
    challenge    TEXT,          -- S256, RFC 7636
    expires      INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    hash          TEXT NOT NULL UNIQUE,
    kind          TEXT NOT NULL CHECK (kind IN ('server', 'oauth', 'api')),
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    server_id     INTEGER REFERENCES servers (id) ON DELETE CASCADE, -- of kind server: whose; of kind oauth: for which
    launch        TEXT,
    client_id     TEXT,
    session_id    TEXT,
    scopes        TEXT NOT NULL, -- JSON list
    note          TEXT NOT NULL DEFAULT '',
    created       INTEGER NOT NULL,
    expires       INTEGER,
    last_activity INTEGER
) STRICT;
CREATE INDEX tokens_user ON tokens (user_id);
CREATE INDEX tokens_session ON tokens (session_id);
CREATE INDEX tokens_launch ON tokens (launch);

-- Failed sign-ins by hash of name and address, within a window that begins at `since`.
CREATE TABLE login_failures (
    key   TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT;
