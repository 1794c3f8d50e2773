-- Each index that a task's steps touch is a page more to write with nearly every task.
-- Tasks and batches of receipts get their numbers in the order in which they are made: what is old is found in it (queue::prune).
DROP INDEX tasks_finished;
DROP INDEX receipt_batches_accepted;
-- Tasks that wait have no lease and stand in the order of their flow, those that run in the order in which their leases run out.
DROP INDEX tasks_queued;
DROP INDEX tasks_leased;
CREATE INDEX tasks_unfinished ON tasks (lease_expires_ms, flow, rank, number) WHERE finished_ms IS NULL;
-- What waits of a flow changes with each task, its user never.
DROP INDEX flows_by_user;
CREATE INDEX flows_by_user ON flows (user_name);
-- Flows with tasks take turns, and those without were ahead of others or not: one index for both.
DROP INDEX flows_waiting;
DROP INDEX flows_turn;
CREATE INDEX flows_turns ON flows (operation, version, sign(queued), requirements, turn, number);
