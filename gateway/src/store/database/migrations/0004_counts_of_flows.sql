-- Queueing and leasing write a task's flow anyway: tasks are counted there by state, and the pool's are the sum of its flows'.
ALTER TABLE flows ADD COLUMN running {integer} NOT NULL DEFAULT 0 CHECK (running >= 0);
ALTER TABLE flows ADD COLUMN succeeded {integer} NOT NULL DEFAULT 0 CHECK (succeeded >= 0);
ALTER TABLE flows ADD COLUMN dead_letter {integer} NOT NULL DEFAULT 0 CHECK (dead_letter >= 0);
ALTER TABLE flows ADD COLUMN cancelled {integer} NOT NULL DEFAULT 0 CHECK (cancelled >= 0);
ALTER TABLE flows ADD COLUMN expired {integer} NOT NULL DEFAULT 0 CHECK (expired >= 0);
UPDATE flows SET running = counted.running, succeeded = counted.succeeded, dead_letter = counted.dead_letter,
    cancelled = counted.cancelled, expired = counted.expired
FROM (SELECT flow,
          count(CASE WHEN state = 'running' THEN 1 END) AS running,
          count(CASE WHEN state = 'succeeded' THEN 1 END) AS succeeded,
          count(CASE WHEN state = 'dead-letter' THEN 1 END) AS dead_letter,
          count(CASE WHEN state = 'cancelled' THEN 1 END) AS cancelled,
          count(CASE WHEN state = 'expired' THEN 1 END) AS expired
      FROM tasks GROUP BY flow) AS counted
WHERE counted.flow = flows.number;
ALTER TABLE flows DROP COLUMN tasks;
DROP TABLE task_counts;
