-- Requests to wikis on a person's behalf: which launches may ask for them, what was asked, and who renews a credential.

-- One for each launch that was given a token for the broker; the token itself is nowhere.
CREATE TABLE broker_grants (
    launch  TEXT PRIMARY KEY REFERENCES launches (id) ON DELETE CASCADE,
    hash    TEXT NOT NULL UNIQUE,
    address TEXT,    -- where the launch's requests come from; NULL until it runs
    halted  INTEGER  -- since when its owner wants nothing sent
) STRICT;

-- What was sent to wikis, the last of each user. No parameters, no texts.
CREATE TABLE wiki_actions (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    launch  TEXT NOT NULL,
    server  TEXT NOT NULL,
    site    TEXT NOT NULL,
    method  TEXT NOT NULL,
    module  TEXT NOT NULL, -- `action=`, or the first part of a path of rest.php
    at      INTEGER NOT NULL,
    took    INTEGER NOT NULL, -- milliseconds
    outcome TEXT NOT NULL CHECK (outcome IN ('answered', 'not-sent', 'unknown')),
    status  INTEGER NOT NULL, -- 0 where there was no answer
    code    TEXT NOT NULL     -- the wiki's own word for an error, or ours
) STRICT;
CREATE INDEX wiki_actions_user ON wiki_actions (user_id, id);

-- Until when somebody has it renewed: a refresh token may be spent once.
ALTER TABLE auth_states ADD COLUMN renewing INTEGER NOT NULL DEFAULT 0;
