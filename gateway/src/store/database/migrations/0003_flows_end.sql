-- A flow without a task is forgotten: a user may make any number of demands, one after another.
ALTER TABLE flows ADD COLUMN tasks {integer} NOT NULL DEFAULT 0 CHECK (tasks >= 0); -- of tasks, those of this flow
UPDATE flows SET tasks = counted.tasks
FROM (SELECT flow, count(*) AS tasks FROM tasks GROUP BY flow) AS counted
WHERE counted.flow = flows.number;
DELETE FROM flows WHERE tasks = 0;
