-- Fair turns: each user's tasks of one operation are a flow of their own, and flows take turns (queue::pick).
CREATE TABLE flows (
    number    INTEGER PRIMARY KEY,
    operation TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    user      TEXT    NOT NULL,
    queued    INTEGER NOT NULL CHECK (queued >= 0), -- tasks that wait now
    turn      INTEGER NOT NULL,                     -- virtual time: the turn that it takes next
    UNIQUE (operation, version, user)
) STRICT;
CREATE INDEX flows_waiting ON flows (operation, version, turn) WHERE queued > 0;
CREATE INDEX flows_turn ON flows (turn);
CREATE INDEX flows_by_user ON flows (user, queued);
INSERT INTO flows (operation, version, user, queued, turn)
SELECT operation, version, user, count(*) FILTER (WHERE state = 'queued'), 0 FROM tasks
WHERE state IN ('queued', 'running', 'dead-letter') GROUP BY operation, version, user;

-- Of flows; 0 for a task that finished before there were any.
ALTER TABLE tasks ADD COLUMN flow INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET flow = (SELECT number FROM flows
    WHERE flows.operation = tasks.operation AND flows.version = tasks.version AND flows.user = tasks.user)
WHERE state IN ('queued', 'running', 'dead-letter');
DROP INDEX tasks_queued;
CREATE INDEX tasks_queued ON tasks (flow, rank) WHERE state = 'queued';

-- Until then the worker on which the latest attempt failed does not get the task again.
ALTER TABLE tasks ADD COLUMN avoid_until_ms INTEGER;
