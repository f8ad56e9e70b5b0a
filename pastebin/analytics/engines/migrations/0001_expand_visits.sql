-- Events as they came, what is needed to tell newcomers, and sums by minute, hour and day.
--
-- Times are whole numbers since 1970: *_ms milliseconds, minute, hour, day. `node` is a hash of the name that a batch
-- bears. Partitions by day hold what lives as long as single events, those by month what lives longer; both are made
-- and dropped by the engine. Every sum can be made again from the events, as long as these are there.

create table visits (
    number         bigint not null,
    at_ms          bigint not null,
    slug           text collate "C" not null,
    file           text collate "C" not null,
    kind           text collate "C" not null,
    cache          text collate "C" not null,
    region         text collate "C" not null,
    pop            text collate "C" not null,
    country        text collate "C" not null,
    referrer       text collate "C" not null,
    agent          text collate "C" not null,
    agent_class    text collate "C" not null,
    is_bot         boolean not null,
    status         integer not null,
    bytes          bigint not null,
    duration_us    bigint not null,
    weight         integer not null,
    period         integer not null,
    visitor        bigint not null,
    visitor_before bigint not null,
    node           bigint not null,
    received_ms    bigint not null
) partition by range (at_ms);
create index on visits using brin (at_ms int8_minmax_multi_ops) with (autosummarize = on, pages_per_range = 32);

create table changes (
    number      bigint not null,
    at_ms       bigint not null,
    kind        text collate "C" not null,
    slug        text collate "C" not null,
    size        bigint not null,
    syntax      text collate "C" not null,
    node        bigint not null,
    received_ms bigint not null
) partition by range (at_ms);
create index on changes using brin (at_ms int8_minmax_multi_ops) with (autosummarize = on, pages_per_range = 32);

-- Written in one transaction with the events of the batch; `minutes` are those that it touches.
create table batches (
    id          text collate "C" primary key,
    received_ms bigint not null,
    minutes     integer[] not null,
    is_rolled   boolean not null default false
);
create index on batches (received_ms) where not is_rolled;
create index on batches (received_ms) where is_rolled;
-- So many batches come that its few unrolled ones must be found without vacuum's help.
alter table batches set (autovacuum_vacuum_scale_factor = 0.01);

-- Which numbers of a node may be here already, and where: only batches that overlap have to be compared.
create table stretches (
    node        bigint not null,
    is_changes  boolean not null,
    first       bigint not null,
    last        bigint not null,
    since_ms    bigint not null,
    until_ms    bigint not null,
    received_ms bigint not null
);
create index on stretches (node, is_changes, last, first);
create index on stretches (received_ms);

-- Everything that comes before the rows of a batch, in one round trip: one batch of a node at a time, each once (unless
-- its id is null: for the changes of a batch that has visits, too), and a note of its numbers. Answers where events are
-- that may be the same; nothing for a batch that is here.
create function claim(
    batch_id text, received bigint, touched integer[], of_node bigint, of_changes boolean,
    from_number bigint, to_number bigint, from_ms bigint, to_ms bigint,
    out is_new boolean, out since bigint, out until bigint
) language plpgsql as $$
begin
    perform pg_advisory_xact_lock(of_node);
    is_new := true;
    if batch_id is not null then
        insert into batches (id, received_ms, minutes) values (batch_id, received, touched) on conflict do nothing;
        is_new := found;
    end if;
    if is_new and from_number is not null then
        select min(s.since_ms), max(s.until_ms) into since, until from stretches s
        where s.node = of_node and s.is_changes = of_changes and s.last >= from_number and s.first <= to_number;
        insert into stretches values (of_node, of_changes, from_number, to_number, from_ms, to_ms, received);
    end if;
end $$;

-- One row for a pseudonym in its period: its first visit, and its last.
create table seen (
    period   integer not null,
    visitor  bigint not null,
    first_ms bigint not null,
    node     bigint not null,
    number   bigint not null,
    before   bigint not null,
    last_ms  bigint not null,
    primary key (period, visitor)
) partition by range (period);
create index on seen (before, period);

-- Visits that are alike in everything that can be asked for, by minute and by hour: for questions about one paste.
create table facts_minute (
    bucket      integer not null,
    slug        text collate "C" not null,
    file        text collate "C" not null,
    country     text collate "C" not null,
    referrer    text collate "C" not null,
    agent       text collate "C" not null,
    agent_class text collate "C" not null,
    cache       text collate "C" not null,
    region      text collate "C" not null,
    pop         text collate "C" not null,
    kind        text collate "C" not null,
    status      text collate "C" not null,
    is_bot      boolean not null,
    visits      bigint not null,
    visitors    bigint not null,
    bytes       bigint not null,
    hits        bigint not null,
    errors      bigint not null,
    duration_us bigint not null
) partition by range (bucket);
create index on facts_minute (bucket);
create index on facts_minute (slug, bucket);

create table facts_hour (like facts_minute) partition by range (bucket);
create index on facts_hour (bucket);
create index on facts_hour (slug, bucket);

-- All visits and changes, told apart by one thing at a time; dimension "all" by nothing.
create table sums_minute (
    bucket      integer not null,
    dimension   text collate "C" not null,
    value       text collate "C" not null,
    is_bot      boolean not null,
    visits      bigint not null,
    visitors    bigint not null,
    bytes       bigint not null,
    hits        bigint not null,
    errors      bigint not null,
    duration_us bigint not null
) partition by range (bucket);
create index on sums_minute (dimension, bucket);

create table sums_hour (like sums_minute) partition by range (bucket);
create index on sums_hour (dimension, bucket);

create table sums_day (like sums_minute);
create index on sums_day (dimension, bucket);

-- Hours and days whose sums are to be made again from what is below them; until then nobody may use them.
create table dirty_hours (bucket integer primary key);
create table dirty_days (bucket integer primary key);

-- The first day whose events are still there: sums of earlier ones stay as they are.
create table kept (since_day integer not null);
insert into kept values (0);
