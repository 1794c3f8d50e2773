-- Finished tasks are kept for a time (queue::prune). An idempotency key lives as long as its task, so it is a column of it.
ALTER TABLE tasks ADD COLUMN idempotency_key TEXT;
UPDATE tasks SET idempotency_key = known.key FROM idempotency_keys AS known WHERE known.task = tasks.number;
CREATE UNIQUE INDEX tasks_idempotency_key ON tasks (user, idempotency_key) WHERE idempotency_key IS NOT NULL;
DROP TABLE idempotency_keys;

CREATE INDEX tasks_finished ON tasks (finished_ms) WHERE finished_ms IS NOT NULL;
CREATE INDEX receipt_batches_accepted ON receipt_batches (accepted_ms);

-- As it was, without the reference to its batch, which would be looked for in every row when a batch goes: a batch goes behind
-- its outputs, which were accepted in the same moment.
CREATE TABLE kept_outputs (
    task     INTEGER PRIMARY KEY REFERENCES tasks (number),
    sha256   BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes    INTEGER NOT NULL,
    batch    INTEGER NOT NULL, -- of receipt_batches
    position INTEGER NOT NULL,
    leaf     BLOB    NOT NULL, -- verbatim
    data     BLOB              -- absent: a blob
) STRICT;
INSERT INTO kept_outputs SELECT task, sha256, bytes, batch, position, leaf, data FROM task_outputs;
DROP TABLE task_outputs;
ALTER TABLE kept_outputs RENAME TO task_outputs;

-- Whether anything refers to a blob, and which claims on one are old: blobs are collected.
CREATE INDEX task_inputs_blobs ON task_inputs (sha256) WHERE data IS NULL;
CREATE INDEX task_outputs_blobs ON task_outputs (sha256) WHERE data IS NULL;
CREATE INDEX user_blobs_by_digest ON user_blobs (sha256);
CREATE INDEX user_blobs_stored ON user_blobs (stored_ms);
CREATE INDEX worker_blobs_by_digest ON worker_blobs (sha256);
CREATE INDEX worker_blobs_stored ON worker_blobs (stored_ms);
