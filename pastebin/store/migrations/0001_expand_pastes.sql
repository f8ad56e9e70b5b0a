-- Pastes, their revisions, the files of a revision, and the blobs that files point to.

create table pastes (
    id               bigint generated always as identity primary key,
    slug             text collate "C" not null unique,
    -- A paste that is not live keeps its row for a while as a tombstone, so that its slug is not taken again at once.
    state            text not null default 'live' check (state in ('live', 'expired', 'deleted', 'burned', 'taken-down')),
    visibility       text not null check (visibility in ('public', 'unlisted', 'private')),
    title            text,
    token_hash       bytea not null check (length(token_hash) = 32),
    password_hash    text,
    encryption       jsonb,
    parent           text collate "C",
    max_reads        integer check (max_reads > 0),
    reads            integer not null default 0,
    revision         integer not null default 1,
    -- Goes up with every change of content or options, not with a read: what a change or a read was decided on.
    version          integer not null default 1,
    created_at       timestamptz not null default now(),
    revised_at       timestamptz not null default now(),
    expires_at       timestamptz,
    ended_at         timestamptz,
    idempotency_hash bytea unique,
    fingerprint      bytea
);

create index pastes_expiring on pastes (expires_at) where state = 'live' and expires_at is not null;
create index pastes_ended on pastes (ended_at) where state <> 'live';
create index pastes_idempotent on pastes (created_at) where idempotency_hash is not null;

create table revisions (
    paste_id   bigint not null references pastes on delete cascade,
    number     integer not null,
    created_at timestamptz not null default now(),
    primary key (paste_id, number)
);

create table blobs (
    key        text collate "C" primary key,
    -- pending: being uploaded; live: a committed file points to it; deleting: no file does, the object goes after a grace period
    state      text not null default 'pending' check (state in ('pending', 'live', 'deleting')),
    changed_at timestamptz not null default now()
);

create index blobs_not_live on blobs (changed_at) where state <> 'live';

create table files (
    paste_id   bigint not null,
    revision   integer not null,
    position   integer not null,
    name       text,
    media_type text not null,
    syntax     text,
    size       bigint not null,
    sha256     bytea not null check (length(sha256) = 32),
    body       bytea,
    blob_key   text collate "C" references blobs,
    primary key (paste_id, revision, position),
    foreign key (paste_id, revision) references revisions on delete cascade,
    check ((body is null) <> (blob_key is null))
);

create index files_of_blob on files (blob_key) where blob_key is not null;

-- lz4 is three times faster than pglz; a server built without it keeps its default.
do $$
begin
    alter table files alter column body set compression lz4;
exception when feature_not_supported then
    null;
end
$$;
