-- Pastes that are read while they are written: what has arrived of them, until it becomes their content.

alter table pastes add column is_growing boolean not null default false;

create table lives (
    paste_id    bigint primary key references pastes on delete cascade,
    size        bigint not null default 0,
    -- Takes no more: its content is being made of what has arrived.
    is_closed   boolean not null default false,
    -- Until then its writer, or whoever ends it, is believed to be at work; afterwards anybody may end it.
    lease_until timestamptz not null
);

create index lives_left on lives (lease_until);

create table live_pieces (
    paste_id bigint not null references lives on delete cascade,
    start    bigint not null,
    body     bytea not null,
    primary key (paste_id, start)
);

-- lz4 is three times faster than pglz; a server built without it keeps its default.
do $$
begin
    alter table live_pieces alter column body set compression lz4;
exception when feature_not_supported then
    null;
end
$$;
