-- Forks that a paste may be seen to have: those that are public.

create index pastes_forked on pastes (parent, id) where parent is not null and visibility = 'public';
