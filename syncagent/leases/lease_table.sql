-- The table that keeps a cluster's lease: one row for each cluster. The agents fill it; they need
-- SELECT, INSERT and UPDATE on it, nothing more, and never make it themselves.
-- For PostgreSQL and SQLite what stands in the last line is a comment; MySQL and MariaDB read it:
-- names are told apart by case, and rows survive a crash.

CREATE TABLE IF NOT EXISTS syncagent_lease (
  name        VARCHAR(63)  NOT NULL PRIMARY KEY,  -- of the cluster
  holder      VARCHAR(63)  NOT NULL,              -- the manager's node name; empty: free
  incarnation VARCHAR(190) NOT NULL,              -- which start of that node
  epoch       BIGINT       NOT NULL,              -- rises with every lease; never lower it
  seq         BIGINT       NOT NULL,              -- rises with every renewal
  ttl_ms      BIGINT       NOT NULL               -- how long the holder counts without one
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin */;
