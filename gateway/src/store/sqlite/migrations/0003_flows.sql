-- Fair turns: each user's queued tasks of one operation are a line of their own (queue::pick).
CREATE TABLE flows (
    number    INTEGER PRIMARY KEY,
    operation TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    user      TEXT    NOT NULL,
    queued    INTEGER NOT NULL, -- tasks that wait now
    turn      INTEGER NOT NULL, -- virtual time: turns taken by the line that was served most
    UNIQUE (operation, version, user)
) STRICT;
CREATE INDEX flows_waiting ON flows (operation, version, turn) WHERE queued > 0;
CREATE INDEX flows_turn ON flows (turn);
INSERT INTO flows (operation, version, user, queued, turn)
SELECT operation, version, user, count(*) FILTER (WHERE state = 'queued'), 0 FROM tasks GROUP BY operation, version, user;

ALTER TABLE tasks ADD COLUMN flow INTEGER NOT NULL DEFAULT 0; -- of flows, always
UPDATE tasks SET flow = (SELECT number FROM flows
    WHERE flows.operation = tasks.operation AND flows.version = tasks.version AND flows.user = tasks.user);
DROP INDEX tasks_queued;
CREATE INDEX tasks_queued ON tasks (flow, rank) WHERE state = 'queued';

-- While it lasts, the worker on which the latest attempt failed does not get the task again.
ALTER TABLE tasks ADD COLUMN avoid_until_ms INTEGER;
