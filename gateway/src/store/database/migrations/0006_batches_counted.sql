-- A worker's count of succeeded tasks was a page more to write with every ack: each batch keeps its own now, and what was not
-- added up yet is added now and then (workers::count_succeeded).
ALTER TABLE receipt_batches ADD COLUMN tasks {integer} NOT NULL DEFAULT 0; -- those whose outputs took effect
CREATE TABLE batches_counted (
    last {integer} NOT NULL -- of receipt_batches: up to here workers.tasks_succeeded has them
) {table};
INSERT INTO batches_counted (last) SELECT coalesce(max(number), 0) FROM receipt_batches;
