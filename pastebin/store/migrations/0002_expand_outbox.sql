-- What has changed: noted with the change itself, numbered in the order of becoming visible, followed by whoever has to know.

create sequence outbox_ids;

-- Only ever appended to. Of one paste's changes the later one has the greater id.
create table outbox (
    id         bigint not null default nextval('outbox_ids'),
    xid        xid8 not null default pg_current_xact_id(),
    kind       text collate "C" not null,
    slug       text collate "C" not null,
    paste_id   bigint,
    size       bigint,
    syntax     text,
    payload    jsonb,
    -- Whether caches have to be told: they cannot hold anything of a paste whose name nobody could know before.
    tell       boolean not null default true,
    created_at timestamptz not null default now()
) partition by range (created_at);

alter sequence outbox_ids owned by outbox.id;
create index outbox_xid on outbox (xid);
create index outbox_pushes on outbox (slug, created_at) where kind = 'push';
-- For what comes while nobody has made a partition for it.
create table outbox_rest partition of outbox default;

-- The same rows with numbers that have no gaps: what a transaction commits has greater ones than all that others saw before.
create table feed (
    sequence     bigint not null,
    outbox_id    bigint not null,
    kind         text collate "C" not null,
    slug         text collate "C" not null,
    paste_id     bigint,
    size         bigint,
    syntax       text,
    payload      jsonb,
    tell         boolean not null,
    -- Whoever has replayed so much has seen the change.
    lsn          pg_lsn not null,
    created_at   timestamptz not null,
    sequenced_at timestamptz not null default now()
) partition by range (sequenced_at);

create index feed_sequence on feed (sequence);
create index feed_told on feed (sequence) where tell;
create table feed_rest partition of feed default;

-- The one row says how far the numbering has come: `snapshot` sees exactly what has a number.
create table feed_state (
    is_only      boolean primary key default true check (is_only),
    epoch        text not null,
    system_id    bigint not null,
    timeline     integer not null,
    round        bigint not null default 0,
    -- The last number, the last one of a row that caches are told of, and the first one that is still kept.
    sequence     bigint not null default 0,
    told         bigint not null default 0,
    floor        bigint not null default 1,
    snapshot     pg_snapshot not null default pg_current_snapshot()
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

insert into feed_state (epoch, system_id, timeline) values ('', 0, 0);

-- Who follows the feed. A row is changed often, is small, and has no index but its key: updates stay on its page.
create table feed_targets (
    name           text collate "C" primary key,
    -- Which feed `confirmed` counts in; another one, or none, means that the target has to forget everything first.
    epoch          text not null default '',
    confirmed      bigint not null default 0,
    -- The node whose process the target lives and dies with; empty for one that answers to anybody.
    node           text not null default '',
    holder         text,
    fence          bigint not null default 0,
    lease_until    timestamptz not null default '-infinity',
    failing_since  timestamptz,
    failure        text
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

create table feed_workers (
    name       text collate "C" primary key,
    -- The targets that its configuration names.
    wants      text[] not null,
    seen_until timestamptz not null
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- What a target would not take, put aside so that it stops nothing else: `waiting` is tried again, `dead` waits for a decision.
create table dead_letters (
    id         bigint generated always as identity primary key,
    target     text collate "C" not null,
    state      text not null default 'waiting' check (state in ('waiting', 'dead')),
    keys       text[] not null,
    urls       text[] not null default '{}',
    sequence   bigint not null,
    error      text not null,
    attempts   integer not null default 1,
    created_at timestamptz not null default now(),
    due_at     timestamptz not null default now()
);

create index dead_letters_of_target on dead_letters (target, state, due_at);
