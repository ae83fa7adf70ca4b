-- What `watcher once` left before the first release: p000 and p001 done, bad.jpg failed, p002 done and removed,
-- p009 done and its original moved.
BEGIN TRANSACTION;
CREATE TABLE alike (
    size INTEGER NOT NULL, folder INTEGER NOT NULL, stem BLOB NOT NULL,
    PRIMARY KEY (size, folder, stem)
) WITHOUT ROWID;
INSERT INTO "alike" VALUES(14865,1,X'70303031');
INSERT INTO "alike" VALUES(14957,1,X'0070303039');
INSERT INTO "alike" VALUES(15454,1,X'70303030');
CREATE TABLE event (                   -- see `history`
    id INTEGER PRIMARY KEY,            -- in the order of writing; the lowest are the first to go
    inbox INTEGER NOT NULL, path BLOB NOT NULL,
    at REAL NOT NULL, what TEXT NOT NULL,
    detail TEXT NOT NULL               -- JSON
);
INSERT INTO "event" VALUES(1,1,X'703030392E6A7067',1.79589393337631440163e+09,'made','{"how":"start","line":0.011,"worker":18839,"seconds":0.011,"renditions":["web"]}');
INSERT INTO "event" VALUES(2,1,X'6261642E6A7067',1.79589393480303144458e+09,'failed','{"how":"start","line":0.011,"worker":18908,"seconds":0.001,"reason":"not a JPEG: it is text (\"no photo\")"}');
INSERT INTO "event" VALUES(3,1,X'703030312E6A7067',1.79589393483039140705e+09,'made','{"how":"start","line":0.031,"worker":18908,"seconds":0.009,"renditions":["web"]}');
INSERT INTO "event" VALUES(4,1,X'703030302E6A7067',1.79589393483154249192e+09,'made','{"how":"start","line":0.031,"worker":18911,"seconds":0.01,"renditions":["web"]}');
INSERT INTO "event" VALUES(5,1,X'703030322E6A7067',1.79589393483883380886e+09,'made','{"how":"start","line":0.043,"worker":18908,"seconds":0.005,"renditions":["web"]}');
INSERT INTO "event" VALUES(6,1,X'703030322E6A7067',1.79589393638788652422e+09,'gone','{}');
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, away INTEGER NOT NULL DEFAULT 0,
    UNIQUE (inbox, path)
);
INSERT INTO "folder" VALUES(1,1,X'',0,3,1,1);
CREATE TABLE ghost (                       -- a photo that was done and has left; its renditions have stayed
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    folder BLOB NOT NULL, stem BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    recipes INTEGER NOT NULL, made TEXT NOT NULL, digest BLOB,
    gone INTEGER NOT NULL                  -- seconds of the wall clock
);
INSERT INTO "ghost" VALUES(1,1,X'',X'70303032',X'703030322E6A7067',15517,1795893933609648293,2,'{"web":[300,200,5995]}',X'132FC8DA64607E8F94D458DEC875968F',1795893936);
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    dev INTEGER, ino INTEGER,          -- the folder's identity when it was last scanned
    report TEXT NOT NULL DEFAULT '{}'  -- what only a running daemon knows, for `status`
);
INSERT INTO "inbox" VALUES(1,X'2F6265666F72652F696E626F78',65024,2212685,'{"output": "/before/output", "volume": "/", "terms": "200 0 120 web=64aa3e5685b17caa", "watch": "poll", "watch_reason": "`watcher once` looks through it once", "reachable": true, "missed_events": 0, "held_up": "", "executor": {}, "waiting": 0, "oldest_waiting": null, "minutes": [], "last_batch": null, "decoder": ""}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "meta" VALUES('config','/before/c.toml');
INSERT INTO "meta" VALUES('decoder','native');
INSERT INTO "meta" VALUES('pid',18943);
INSERT INTO "meta" VALUES('since',1.79589393608641481395e+09);
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
    first_seen REAL NOT NULL, origin TEXT NOT NULL, digest BLOB, away BLOB,
    PRIMARY KEY (folder, stem, name)
) WITHOUT ROWID;
INSERT INTO "photo" VALUES(1,X'0070303039',X'703030392E6A706700303030303030303031',14957,1795893932084289788,1,2,'{"web":[300,200,5692,"p009.jpg"]}',1.79589393337631440163e+09,0,0,'',1.79589393335396075245e+09,'start',X'6D9864FC327DCBDE56F5D0629F79F0B6',X'2F6265666F72652F6F726967696E616C732F703030392E6A7067');
INSERT INTO "photo" VALUES(1,X'626164',X'6261642E6A7067',8,1795893933609860367,2,1,'{}',1.79589393480303144458e+09,1,0,'not a JPEG: it is text ("no photo")',1.79589393479075670246e+09,'start',NULL,NULL);
INSERT INTO "photo" VALUES(1,X'70303030',X'703030302E6A7067',15454,1795893933592184685,1,2,'{"web":[300,200,6020]}',1.79589393483154249192e+09,0,0,'',1.79589393479075670246e+09,'start',X'142773328582B6E18270EB5293736684',NULL);
INSERT INTO "photo" VALUES(1,X'70303031',X'703030312E6A7067',14865,1795893933600860326,1,2,'{"web":[300,200,5692]}',1.79589393483039140705e+09,0,0,'',1.79589393479075670246e+09,'start',X'28AABCA6CCBA6D672B154062772A27CA',NULL);
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    made TEXT NOT NULL,                -- rendition -> fingerprint
    photos INTEGER NOT NULL DEFAULT 0, -- kept by triggers
    UNIQUE (inbox, made)
);
INSERT INTO "recipes" VALUES(1,1,'{}',1);
INSERT INTO "recipes" VALUES(2,1,'{"web": "64aa3e5685b17caa"}',3);
CREATE TABLE request (                 -- see `requests`
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    inbox BLOB NOT NULL,
    path BLOB,                         -- NULL: every photo of the inbox that it may be about
    renditions TEXT NOT NULL           -- JSON: the names of those that are meant
);
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
CREATE INDEX ghost_size ON ghost (size);
CREATE INDEX ghost_place ON ghost (inbox, folder, stem);
CREATE TRIGGER photo_alike AFTER INSERT ON photo WHEN NEW.digest IS NOT NULL BEGIN
    INSERT INTO alike SELECT NEW.size, NEW.folder, NEW.stem
        WHERE NOT EXISTS (SELECT 1 FROM alike WHERE size = NEW.size AND folder = NEW.folder AND stem = NEW.stem);
END;
CREATE TRIGGER photo_content AFTER UPDATE OF size, digest ON photo
    WHEN NEW.size <> OLD.size OR (NEW.digest IS NULL) <> (OLD.digest IS NULL) BEGIN
    DELETE FROM alike WHERE size = OLD.size AND folder = OLD.folder AND stem = OLD.stem AND NOT EXISTS (
        SELECT 1 FROM photo WHERE folder = OLD.folder AND stem = OLD.stem AND size = OLD.size AND digest IS NOT NULL);
    INSERT INTO alike SELECT NEW.size, NEW.folder, NEW.stem WHERE NEW.digest IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM alike WHERE size = NEW.size AND folder = NEW.folder AND stem = NEW.stem);
END;
CREATE TRIGGER photo_unlike AFTER DELETE ON photo WHEN OLD.digest IS NOT NULL BEGIN
    DELETE FROM alike WHERE size = OLD.size AND folder = OLD.folder AND stem = OLD.stem AND NOT EXISTS (
        SELECT 1 FROM photo WHERE folder = OLD.folder AND stem = OLD.stem AND size = OLD.size AND digest IS NOT NULL);
END;
CREATE INDEX event_photo ON event (inbox, path);
CREATE TRIGGER photo_taken AFTER INSERT ON photo WHEN NEW.away IS NOT NULL BEGIN
    UPDATE folder SET away = away + 1 WHERE id = NEW.folder;
END;
CREATE TRIGGER photo_returned AFTER DELETE ON photo WHEN OLD.away IS NOT NULL BEGIN
    UPDATE folder SET away = away - 1 WHERE id = OLD.folder;
END;
CREATE INDEX photo_looks ON photo (folder, stem, size, mtime_ns, at) WHERE away IS NOT NULL;
CREATE TRIGGER photo_gone AFTER DELETE ON photo WHEN OLD.phase = 1 AND OLD.away IS NULL BEGIN
    INSERT INTO ghost (inbox, folder, stem, name, size, mtime_ns, recipes, made, digest, gone)
        SELECT inbox, path, OLD.stem, OLD.name, OLD.size, OLD.mtime_ns, OLD.recipes, OLD.made, OLD.digest,
            CAST(strftime('%s', 'now') AS INTEGER) FROM folder WHERE id = OLD.folder;
END;
CREATE INDEX photo_made ON photo (folder, stem, at) WHERE away IS NOT NULL;
DELETE FROM "sqlite_sequence";
COMMIT;
PRAGMA application_id = 2002875491;
PRAGMA user_version = 5;
