-- What ended and the proxy must hear of. A row is there from the transaction that ends it until the proxy has it, whoever tells it.
CREATE TABLE revocations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT NOT NULL CHECK (kind IN ('session', 'token')),
    value   TEXT NOT NULL, -- the cookie jupyterhub-session-id, or a token's hash
    created INTEGER NOT NULL
) STRICT;

CREATE TRIGGER sessions_end AFTER DELETE ON sessions BEGIN
    INSERT INTO revocations (kind, value, created) VALUES ('session', old.session_id, CAST(unixepoch('subsec') * 1000 AS INTEGER));
END;

CREATE TRIGGER tokens_end AFTER DELETE ON tokens BEGIN
    INSERT INTO revocations (kind, value, created) VALUES ('token', old.hash, CAST(unixepoch('subsec') * 1000 AS INTEGER));
END;
