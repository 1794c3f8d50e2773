-- Verdicts that were reached again, over evidence that was recorded before: under another policy, with other collateral.

-- What many verdicts share is kept once: appraisal policies, each platform family's collateral, and
-- the reference manifests of each kind of GPU.
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    sha256 BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    text   TEXT    NOT NULL
) STRICT;

CREATE TABLE reappraisals (
    number         INTEGER PRIMARY KEY,
    attestation    INTEGER NOT NULL REFERENCES attestations (number),
    appraised_ms   INTEGER NOT NULL,
    code           TEXT,             -- why it refused; absent: it accepted
    policy         INTEGER NOT NULL REFERENCES documents (number),
    collateral     INTEGER NOT NULL REFERENCES documents (number),
    gpu_references INTEGER REFERENCES documents (number), -- absent: none were needed
    transcript     BLOB    NOT NULL  -- JSON
) STRICT;
CREATE INDEX reappraisals_by_attestation ON reappraisals (attestation, number);
