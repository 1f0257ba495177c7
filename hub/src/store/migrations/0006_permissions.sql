-- What a provider gave a person, for each consumer of ours: the one people sign in by, and the one that acts on wikis where it is another.

CREATE TABLE auth_states_of_consumers (
    issuer   TEXT NOT NULL,
    sub      TEXT NOT NULL,
    consumer TEXT NOT NULL DEFAULT '',   -- key of the consumer that acts; empty is the one people sign in by
    key_id   TEXT NOT NULL,              -- which key sealed it
    sealed   TEXT NOT NULL,
    updated  INTEGER NOT NULL,
    renewing INTEGER NOT NULL DEFAULT 0, -- until when somebody has it renewed: a refresh token may be spent once
    given    INTEGER NOT NULL,           -- when the person gave it
    PRIMARY KEY (issuer, sub, consumer),
    FOREIGN KEY (issuer, sub) REFERENCES identities (issuer, sub) ON DELETE CASCADE
) STRICT;
INSERT INTO auth_states_of_consumers (issuer, sub, key_id, sealed, updated, renewing, given)
     SELECT issuer, sub, key_id, sealed, updated, renewing, updated FROM auth_states;
DROP TABLE auth_states;
ALTER TABLE auth_states_of_consumers RENAME TO auth_states;
