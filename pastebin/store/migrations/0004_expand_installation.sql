-- What all nodes of an installation have in common, so that one that differs is told at its start.

create table installation (
    is_only  boolean primary key default true check (is_only),
    -- A fingerprint of node.secret, and the first node that came with it.
    secret   text not null,
    node     text not null,
    noted_at timestamptz not null default now()
);
