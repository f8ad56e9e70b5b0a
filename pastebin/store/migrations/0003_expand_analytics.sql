-- Who reads what: salts for pseudonyms, whose numbers anybody may see, how far analytics knows of changes; reports of abuse.

-- Who may see how often a paste is read: its owner, anybody, or nobody because nothing is counted.
alter table pastes add column analytics text not null default 'owner';
alter table pastes add constraint pastes_analytics check (analytics in ('owner', 'public', 'off')) not valid;

-- One row for a day. Unlogged, so that no salt is ever in the log, on a replica or in an archive; emptied with every new
-- one, so that none stays in a file of the table.
create unlogged table salts (
    -- UTC days since 1970
    period integer primary key,
    salt   bytea not null check (length(salt) = 16)
);

-- Rows that came with a copy of another cluster, `system_before`, have numbers up to `inherited`.
alter table feed_state add column system_before bigint not null default 0, add column inherited bigint not null default 0;

-- How far analytics knows of changes, and who tells it at present.
create table change_cursor (
    is_only     boolean primary key default true check (is_only),
    -- What was told, up to this number of the feed; what is being told, up to `until`, stays the same until it was taken.
    sequence    bigint not null default 0,
    until       bigint,
    epoch       text not null default '',
    lost        bigint not null default 0,
    holder      text not null default '',
    lease_until timestamptz not null default '-infinity',
    -- Until then the feed is kept for it.
    wanted_until timestamptz not null default '-infinity'
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

insert into change_cursor default values;

-- Complaints about pastes, until somebody has decided.
create table reports (
    id         bigint generated always as identity primary key,
    slug       text collate "C" not null,
    paste_id   bigint not null references pastes on delete cascade,
    reason     text not null,
    details    text,
    created_at timestamptz not null default now()
);

create index reports_of_paste on reports (paste_id);
