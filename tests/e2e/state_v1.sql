-- What the first schema's own program left: `watcher once` on two photos and a file that is none.
BEGIN TRANSACTION;
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (inbox, path)
);
INSERT INTO "folder" VALUES(1,1,X'',0,2,1);
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    dev INTEGER, ino INTEGER,          -- the folder's identity when it was last scanned
    report TEXT NOT NULL DEFAULT '{}'  -- what only a running daemon knows, for `status`
);
INSERT INTO "inbox" VALUES(1,X'2F6265666F72652F696E626F78',65024,3950522,'{"output": "/before/output", "terms": "200 0 120 web=64aa3e5685b17caa", "watch": "poll", "watch_reason": "this run looks once", "reachable": true, "unreachable_reason": "", "missed_events": 0, "waiting": 0, "oldest_waiting": null, "minutes": [[29925379, 2]], "last_batch": {"at": 1795522742, "files": 3, "failed": 1, "seconds": 0.111}}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "meta" VALUES('pid',3878);
INSERT INTO "meta" VALUES('since',1.79552274148158693312e+09);
INSERT INTO "meta" VALUES('version','0.1.0');
INSERT INTO "meta" VALUES('workers',2);
CREATE TABLE photo (
    folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    stem BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,         -- digits as a BLOB where it takes more than 64 bits: after the year 2262
    phase INTEGER NOT NULL,            -- plan.Phase
    recipes INTEGER NOT NULL REFERENCES recipes (id),
    made TEXT NOT NULL,                -- rendition -> [width, height, bytes, name if not the natural one]
    at REAL NOT NULL, attempts INTEGER NOT NULL, leased INTEGER NOT NULL, reason TEXT NOT NULL,
    first_seen REAL NOT NULL, origin TEXT NOT NULL,
    PRIMARY KEY (folder, stem, name)
) WITHOUT ROWID;
INSERT INTO "photo" VALUES(1,X'626164',X'6261642E6A7067',8,1795522739920711810,2,1,'{}',1.79552274197340512272e+09,1,0,'not a JPEG: it starts with b''no photo''',1.79552274189950966838e+09,'start');
INSERT INTO "photo" VALUES(1,X'70303030',X'703030302E6A7067',15454,1795522739898048288,1,2,'{"web":[300,200,6020]}',1.79552274201051425932e+09,0,0,'',1.79552274189950966838e+09,'start');
INSERT INTO "photo" VALUES(1,X'70303031',X'703030312E6A7067',14865,1795522739920636388,1,2,'{"web":[300,200,5692]}',1.79552274200595259664e+09,0,0,'',1.79552274189950966838e+09,'start');
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    made TEXT NOT NULL,                -- rendition -> fingerprint
    photos INTEGER NOT NULL DEFAULT 0, -- kept by triggers
    UNIQUE (inbox, made)
);
INSERT INTO "recipes" VALUES(1,1,'{}',1);
INSERT INTO "recipes" VALUES(2,1,'{"web": "64aa3e5685b17caa"}',2);
CREATE INDEX photo_open ON photo (phase, folder) WHERE phase <> 1;
CREATE INDEX photo_leased ON photo (folder) WHERE leased = 1;
CREATE TRIGGER photo_insert AFTER INSERT ON photo BEGIN
    UPDATE folder SET waiting = waiting + (NEW.phase = 0), done = done + (NEW.phase = 1),
        failed = failed + (NEW.phase = 2) WHERE id = NEW.folder;
    UPDATE recipes SET photos = photos + 1 WHERE id = NEW.recipes;
END;
CREATE TRIGGER photo_delete AFTER DELETE ON photo BEGIN
    UPDATE folder SET waiting = waiting - (OLD.phase = 0), done = done - (OLD.phase = 1),
        failed = failed - (OLD.phase = 2) WHERE id = OLD.folder;
    UPDATE recipes SET photos = photos - 1 WHERE id = OLD.recipes;
END;
CREATE TRIGGER photo_phase AFTER UPDATE OF phase ON photo WHEN NEW.phase <> OLD.phase BEGIN
    UPDATE folder SET
        waiting = waiting + (NEW.phase = 0) - (OLD.phase = 0), done = done + (NEW.phase = 1) - (OLD.phase = 1),
        failed = failed + (NEW.phase = 2) - (OLD.phase = 2) WHERE id = NEW.folder;
END;
CREATE TRIGGER photo_recipes AFTER UPDATE OF recipes ON photo WHEN NEW.recipes <> OLD.recipes BEGIN
    UPDATE recipes SET photos = photos - 1 WHERE id = OLD.recipes;
    UPDATE recipes SET photos = photos + 1 WHERE id = NEW.recipes;
END;
COMMIT;
PRAGMA user_version = 1;
