-- Who may use the replica gateway.

-- `grants` counts the generations of the table below.
INSERT INTO counters (name, value) VALUES ('grants', 1);

-- One for each launch that was given a password; the password itself is nowhere.
CREATE TABLE grants (
    launch   TEXT PRIMARY KEY REFERENCES launches (id) ON DELETE CASCADE,
    username TEXT NOT NULL UNIQUE,
    native   TEXT NOT NULL, -- hexadecimal SHA-1 of the SHA-1 of the password
    sha2     TEXT NOT NULL, -- hexadecimal SHA-256 of the SHA-256 of the password
    address  TEXT           -- where the launch's connections come from; NULL until it runs
) STRICT;
