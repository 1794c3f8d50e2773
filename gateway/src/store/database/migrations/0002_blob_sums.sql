-- Kept as it is today: each upload asks for it, and a user may have a million blobs to sum up.
CREATE TABLE blob_sums (
    user_name TEXT      PRIMARY KEY,
    bytes     {integer} NOT NULL CHECK (bytes >= 0) -- of all the user's rows in user_blobs
) {keyed_table};
INSERT INTO blob_sums (user_name, bytes)
SELECT user_name, CAST(sum(bytes) AS BIGINT) FROM user_blobs GROUP BY user_name;
