-- Sign-in by providers: what is on its way, what a provider said last, and credentials kept encrypted.

-- A sign-in that a browser began and has not finished. Used once: it goes when the browser is back.
CREATE TABLE pending_logins (
    handle   TEXT NOT NULL,    -- hash of what names it in the callback
    browser  TEXT NOT NULL,    -- hash of the browser's own cookie for signing in
    provider TEXT NOT NULL,
    kept     TEXT NOT NULL,    -- what the provider needs to finish, sealed
    next     TEXT,
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    PRIMARY KEY (handle, browser)
) STRICT;
CREATE INDEX pending_logins_browser ON pending_logins (browser, created);

ALTER TABLE identities ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE identities ADD COLUMN name TEXT NOT NULL DEFAULT '';  -- as the provider has it
ALTER TABLE identities ADD COLUMN standing TEXT NOT NULL DEFAULT 'good'
    CHECK (standing IN ('good', 'locked', 'missing'));
ALTER TABLE identities ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0; -- when the provider last said how it stands
ALTER TABLE identities ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;     -- when it was last asked, answered or not

-- Credentials at a provider and what it said about the person.
CREATE TABLE auth_states (
    issuer  TEXT NOT NULL,
    sub     TEXT NOT NULL,
    key_id  TEXT NOT NULL,     -- which key sealed it
    sealed  TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (issuer, sub),
    FOREIGN KEY (issuer, sub) REFERENCES identities (issuer, sub) ON DELETE CASCADE
) STRICT;

ALTER TABLE users ADD COLUMN next_name TEXT;  -- taken over at the next start
ALTER TABLE users ADD COLUMN home TEXT;       -- the home's directory, when it is not the user's number

-- Names that users had: old links lead to the new ones.
CREATE TABLE former_names (
    name    TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    since   INTEGER NOT NULL,
    PRIMARY KEY (name, user_id)
) STRICT;

-- Homes of deleted users, kept for a while.
CREATE TABLE old_homes (
    home    TEXT PRIMARY KEY,
    deleted INTEGER NOT NULL
) STRICT;

ALTER TABLE sessions ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';   -- what the browser called itself
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT ''; -- where it was when it signed in
