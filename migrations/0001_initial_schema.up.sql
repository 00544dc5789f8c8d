-- The schema of the point-of-sale server, and the numbering of order events.
--
-- Keys are UUIDs, instants timestamptz, money numeric(10,2). All but keys, names and foreign keys has a default, so that
-- a row can be inserted by hand.

-- Restaurants and the people who work in them ------------------------------------------------------------------------

create table restaurants (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    timezone text not null default 'Europe/London',
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table users (
    id uuid primary key default gen_random_uuid(),
    supabase_id text, -- the `sub` of the user's tokens; null: cannot sign in yet
    email text unique,
    full_name text not null default '',
    role text not null default 'employee'
        check (role in ('platform_owner', 'restaurant_owner', 'manager', 'employee')),
    restaurant_id uuid references restaurants (id) on delete set null,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create unique index idx_users_supabase_id on users (supabase_id);
create index idx_users_restaurant_role on users (restaurant_id, role) where is_active;
create index idx_users_restaurant on users (restaurant_id);

-- The restaurants a user may act for besides users.restaurant_id.
create table user_restaurants (
    user_id uuid not null references users (id) on delete cascade,
    restaurant_id uuid not null references restaurants (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (user_id, restaurant_id)
);

create index idx_user_restaurants_restaurant on user_restaurants (restaurant_id);

-- The menu -----------------------------------------------------------------------------------------------------------

create table categories (
    id uuid primary key default gen_random_uuid(),
    restaurant_id uuid not null references restaurants (id) on delete cascade,
    name text not null,
    description text,
    icon text,
    sort_order integer not null default 0,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index idx_categories_restaurant on categories (restaurant_id, sort_order, name);

create table products (
    id uuid primary key default gen_random_uuid(),
    restaurant_id uuid not null references restaurants (id) on delete cascade,
    category_id uuid references categories (id) on delete set null,
    name text not null,
    description text,
    price numeric(10, 2) not null default 0 check (price >= 0),
    image_url text,
    is_active boolean not null default true,
    sort_order integer not null default 0,
    allergens jsonb not null default '[]' check (jsonb_typeof(allergens) = 'array'),
    nutritional_info jsonb not null default '{}' check (jsonb_typeof(nutritional_info) = 'object'),
    preparation_time integer not null default 0 check (preparation_time >= 0), -- minutes
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index idx_products_restaurant_active on products (restaurant_id, is_active) where is_active;
create index idx_products_category_active on products (category_id, is_active) where is_active;
-- The partial ones serve neither `include_inactive` nor the foreign keys.
create index idx_products_restaurant on products (restaurant_id, sort_order, name, id);
create index idx_products_category on products (category_id);

create table product_modifiers (
    id uuid primary key default gen_random_uuid(),
    product_id uuid not null references products (id) on delete cascade,
    name text not null,
    price numeric(10, 2) not null default 0 check (price >= 0),
    required boolean not null default false,
    options jsonb not null default '[]' check (jsonb_typeof(options) = 'array'),
    sort_order integer not null default 0
);

create index idx_product_modifiers_product on product_modifiers (product_id);

create table product_variants (
    id uuid primary key default gen_random_uuid(),
    product_id uuid not null references products (id) on delete cascade,
    name text not null,
    price numeric(10, 2) not null default 0 check (price >= 0),
    sku text,
    sort_order integer not null default 0
);

create index idx_product_variants_product on product_variants (product_id);

-- Orders -------------------------------------------------------------------------------------------------------------

create sequence order_number_seq start 1001;

create table orders (
    id uuid primary key default gen_random_uuid(),
    restaurant_id uuid not null references restaurants (id) on delete cascade,
    order_number text not null default 'ORD-' || nextval('order_number_seq'),
    table_number text,
    customer_name text,
    order_type text not null default 'dine_in',
    status text not null default 'draft' check (
        status in ('draft', 'pending', 'confirmed', 'preparing', 'ready', 'served', 'completed', 'cancelled')),
    payment_status text not null default 'pending',
    subtotal numeric(10, 2) not null default 0 check (subtotal >= 0),
    tax_amount numeric(10, 2) not null default 0 check (tax_amount >= 0),
    service_charge numeric(10, 2) not null default 0 check (service_charge >= 0),
    discount_amount numeric(10, 2) not null default 0 check (discount_amount >= 0),
    tip_amount numeric(10, 2) not null default 0 check (tip_amount >= 0),
    total_amount numeric(10, 2) not null default 0 check (total_amount >= 0),
    notes text,
    created_by uuid references users (id) on delete set null,
    version integer not null default 1, -- kept by a trigger, like updated_at and completed_at
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    unique (restaurant_id, order_number)
);

alter sequence order_number_seq owned by orders.order_number;

create index idx_orders_restaurant_status_created on orders (restaurant_id, status, created_at);
-- The day in UTC: a day in the session's time zone is not immutable and cannot be indexed.
create index idx_orders_restaurant_date on orders (restaurant_id, ((created_at at time zone 'UTC')::date));
create index idx_orders_restaurant_created on orders (restaurant_id, created_at);
create index idx_orders_restaurant_updated on orders (restaurant_id, updated_at);
create index idx_orders_created_by on orders (created_by);

create table order_items (
    id uuid primary key default gen_random_uuid(),
    order_id uuid not null references orders (id) on delete cascade,
    product_id uuid references products (id) on delete set null,
    product_name text not null,
    quantity integer not null default 1 check (quantity > 0),
    unit_price numeric(10, 2) not null default 0 check (unit_price >= 0),
    total_price numeric(10, 2) not null check (total_price >= 0), -- left out: quantity × unit_price, by a trigger
    modifiers jsonb not null default '[]',
    special_instructions text,
    status text not null default 'pending',
    sort_order bigint generated by default as identity -- as entered: rows of one statement share every other trace of it
);

create index idx_order_items_order_id on order_items (order_id);
create index idx_order_items_product on order_items (product_id);

-- Event streams ------------------------------------------------------------------------------------------------------

-- The counters of a restaurant. Nothing but numbering locks these rows, as late as it can (see fynlo_number_changes).
-- Created after orders: a deleted restaurant's rows go in the order of the foreign keys, and the counter must go after
-- the orders, as a writer of an order takes the order before the counter.
create table restaurant_streams (
    restaurant_id uuid primary key references restaurants (id) on delete cascade,
    head bigint not null default 0, -- seq of the newest event
    menu_version bigint not null default 1,
    access_version bigint not null default 1
) with (fillfactor = 50); -- room on the page for the next version of a row that changes with every order

-- Events and remembered commands hang on the counter, not on the restaurant, the order or the user: writing one locks
-- nothing that another program could hold, and an event outlives its order.
create table restaurant_events (
    restaurant_id uuid not null references restaurant_streams (restaurant_id) on delete cascade,
    seq bigint not null,
    type text not null,
    data jsonb not null default '{}',
    actor uuid, -- null: written by another program
    message_id text, -- of the command that made the event, if it had one
    created_at timestamptz not null default now(), -- never falls as seq rises, so that pruning leaves an unbroken tail
    primary key (restaurant_id, seq)
);

create index idx_restaurant_events_created on restaurant_events (created_at);

-- The answers to commands with an id, so that a repeated one is answered alike and changes nothing.
create table processed_commands (
    restaurant_id uuid not null references restaurant_streams (restaurant_id) on delete cascade,
    user_id uuid not null,
    message_id text not null,
    kind text not null default 'order.status_update', -- which command used the id
    answer jsonb not null default '{}',
    created_at timestamptz not null default now(),
    primary key (restaurant_id, user_id, message_id)
);

create index idx_processed_commands_created on processed_commands (created_at);

-- What the running transactions have touched: one note per order and transaction, with the row before its first change.
-- The notes are numbered and deleted as the transaction commits, so no committed row is ever left here, and a crash,
-- which empties the table, loses nothing: hence unlogged. Rolling back to a savepoint takes its notes along.
-- Whoever notes a change has it numbered; kinds are
--   order   subject = the order; an event if the order differs from `before`, or its items from `items_before`
--   menu    subject = the restaurant; menu_version + 1 and a menu.updated event
--   access  subject = the restaurant; access_version + 1
create unlogged table pending_changes (
    transaction_id xid8 not null default pg_current_xact_id(),
    note_no bigint generated always as identity,
    restaurant_id uuid not null,
    kind text not null check (kind in ('order', 'menu', 'access')),
    subject uuid not null,
    before jsonb, -- null: there was no such row
    items_before jsonb, -- as fynlo_order_items_json; null: no item was touched
    actor uuid, -- set by the command functions alone
    message_id text,
    primary key (transaction_id, note_no)
);

-- Partial in form only, so that the planner never reads by it: to the planner the table looks empty, and one index as good
-- as another, but this one would have it walk all notes of a large transaction to find one.
create unique index pending_changes_once on pending_changes (transaction_id, restaurant_id, kind, subject)
where kind <> '';

-- JSON ---------------------------------------------------------------------------------------------------------------
-- Bodies in SQL-standard form are bound to their tables when created, whatever the search_path of the caller.

-- RFC 3339 in UTC with milliseconds, cut off rather than rounded: 2026-01-31T18:04:05.123Z.
create function fynlo_timestamp(p_instant timestamptz) returns text
language sql stable parallel safe
return to_char(p_instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- The items of an order as an array, in the order in which they were entered; empty if there are none.
create function fynlo_order_items_json(p_order uuid) returns jsonb
language sql stable parallel safe
begin atomic
    select coalesce(
        jsonb_agg(
            jsonb_build_object(
                'id', i.id,
                'order_id', i.order_id,
                'product_id', i.product_id,
                'product_name', i.product_name,
                'quantity', i.quantity,
                'unit_price', i.unit_price,
                'total_price', i.total_price,
                'modifiers', i.modifiers,
                'special_instructions', i.special_instructions,
                'status', i.status)
            order by i.sort_order, i.id),
        '[]')
    from order_items i
    where i.order_id = p_order;
end;

-- An order with its items as clients see it, money as numbers exact to the cent; null if there is no such order.
-- Asks no tenant: the caller has checked whose order it is.
create function fynlo_order_json(p_order uuid) returns jsonb
language sql stable parallel safe
begin atomic
    select jsonb_build_object(
        'id', o.id,
        'restaurant_id', o.restaurant_id,
        'order_number', o.order_number,
        'table_number', o.table_number,
        'customer_name', o.customer_name,
        'order_type', o.order_type,
        'status', o.status,
        'payment_status', o.payment_status,
        'subtotal', o.subtotal,
        'tax_amount', o.tax_amount,
        'service_charge', o.service_charge,
        'discount_amount', o.discount_amount,
        'tip_amount', o.tip_amount,
        'total_amount', o.total_amount,
        'notes', o.notes,
        'created_by', o.created_by,
        'version', o.version,
        'created_at', fynlo_timestamp(o.created_at),
        'updated_at', fynlo_timestamp(o.updated_at),
        'completed_at', fynlo_timestamp(o.completed_at),
        'items', fynlo_order_items_json(o.id))
    from orders o
    where o.id = p_order;
end;

-- Access -------------------------------------------------------------------------------------------------------------

create function fynlo_access(p_subject text, p_restaurant uuid)
returns table (
    user_id uuid,
    email text,
    role text,
    user_is_active boolean,
    home_restaurant uuid,
    is_member boolean,
    restaurant_exists boolean,
    restaurant_is_active boolean,
    head bigint,
    menu_version bigint,
    access_version bigint)
language sql stable parallel safe
begin atomic
    select
        u.id,
        u.email,
        u.role,
        u.is_active,
        u.restaurant_id,
        m.user_id is not null,
        r.id is not null,
        coalesce(r.is_active, false),
        s.head,
        s.menu_version,
        s.access_version
    from users u
    left join user_restaurants m on m.user_id = u.id and m.restaurant_id = p_restaurant
    left join restaurants r on r.id = p_restaurant
    left join restaurant_streams s on s.restaurant_id = p_restaurant
    where u.supabase_id = p_subject;
end;

-- Rows kept in shape -------------------------------------------------------------------------------------------------

create function fynlo_touch_updated_at() returns trigger
language plpgsql as $$
begin
    new.updated_at := clock_timestamp();
    return new;
end
$$;

create trigger touch_updated_at before update on restaurants
for each row when (old.* is distinct from new.*) execute function fynlo_touch_updated_at();
create trigger touch_updated_at before update on users
for each row when (old.* is distinct from new.*) execute function fynlo_touch_updated_at();
create trigger touch_updated_at before update on categories
for each row when (old.* is distinct from new.*) execute function fynlo_touch_updated_at();
create trigger touch_updated_at before update on products
for each row when (old.* is distinct from new.*) execute function fynlo_touch_updated_at();

create function fynlo_fill_item_total() returns trigger
language plpgsql as $$
begin
    new.total_price := new.quantity * new.unit_price;
    return new;
end
$$;

create trigger fill_item_total before insert or update on order_items
for each row when (new.total_price is null) execute function fynlo_fill_item_total();

-- version, updated_at and completed_at follow from the change and not from what the writer says of them: an update that
-- changes nothing else leaves them as they are, any other moves the version on by exactly one.
create function fynlo_keep_order_version() returns trigger
language plpgsql as $$
declare
    -- Raising the version by itself says that something belonging to the order has changed: an item.
    v_touched boolean;
begin
    new.completed_at := case when new.status = 'completed' then coalesce(new.completed_at, clock_timestamp()) end;
    if tg_op = 'UPDATE' then
        v_touched := new.version > old.version;
        new.version := old.version;
        new.updated_at := old.updated_at;
        if v_touched or new is distinct from old then
            new.version := old.version + 1;
            new.updated_at := clock_timestamp();
        end if;
    end if;
    return new;
end
$$;

create trigger keep_order_version before insert or update on orders
for each row execute function fynlo_keep_order_version();

-- Numbering ----------------------------------------------------------------------------------------------------------
-- These run with their owner's rights: another program needs rights on orders only to have its changes numbered.
-- The time zone is fixed, as rows are compared in JSON, which spells instants in the session's zone.

create function fynlo_create_stream() returns trigger
language plpgsql security definer as $$
begin
    insert into restaurant_streams (restaurant_id) values (new.id) on conflict do nothing;
    return null;
end
$$;

create trigger create_stream after insert on restaurants
for each row execute function fynlo_create_stream();

-- Notes the order with its row before the transaction's first change (a second note of it finds the first). An order that
-- moves to another restaurant, or changes its id, is deleted there and created here.
create function fynlo_note_order() returns trigger
language plpgsql security definer set timezone = 'UTC' as $$
begin
    if tg_op in ('UPDATE', 'DELETE') then
        insert into pending_changes (restaurant_id, kind, subject, before)
        values (old.restaurant_id, 'order', old.id, to_jsonb(old))
        on conflict do nothing;
    end if;
    if tg_op = 'INSERT' or tg_op = 'UPDATE' and (new.restaurant_id, new.id) <> (old.restaurant_id, old.id) then
        insert into pending_changes (restaurant_id, kind, subject)
        values (new.restaurant_id, 'order', new.id)
        on conflict do nothing;
    end if;
    return null;
end
$$;

create trigger note_created_or_deleted after insert or delete on orders
for each row execute function fynlo_note_order();
create trigger note_updated after update on orders
for each row when (old.* is distinct from new.*) execute function fynlo_note_order();

-- Numbers what this transaction has noted from p_from on: without gaps, in the order in which the counters were locked,
-- which is the order of the commits. True if a counter moved.
--
-- The counters are locked in one order by everybody and held until the commit that follows; nothing else is locked here.
-- Restaurants without a counter are being deleted: no events.
--
-- The planner knows nothing of the notes: its statistics say none or the dead ones of all recent transactions. So the plan
-- is written out: no sequential scans, no compiling, and OFFSET 0 makes one look-up by key of each join.
create function fynlo_number_changes(p_from bigint) returns boolean
language plpgsql security definer set timezone = 'UTC' set enable_seqscan = off set jit = off as $$
declare
    v_restaurants uuid[];
    v_now timestamptz;
    v_derived constant text[] := array['version', 'updated_at'];
begin
    v_restaurants := array(
        select distinct n.restaurant_id
        from pending_changes n
        where n.transaction_id = pg_current_xact_id() and n.note_no >= p_from);
    perform from restaurant_streams s
    where s.restaurant_id = any (v_restaurants)
    order by s.restaurant_id
    for no key update;

    v_now := clock_timestamp(); -- read under the locks, so that created_at rises with seq
    with noted as (
        delete from pending_changes n
        where n.transaction_id = pg_current_xact_id() and n.note_no >= p_from
        returning n.*
    ), changed as (
        select
            n.*,
            coalesce(o.order_number, n.before ->> 'order_number') as order_number,
            coalesce(o.status, n.before ->> 'status') as status,
            coalesce(o.version, (n.before ->> 'version')::integer) as version,
            case
                when n.kind = 'menu' then 'menu.updated'
                when n.kind <> 'order' then null
                when o.id is null and n.before is null then null -- created and deleted
                when n.before is null then 'order.created'
                when o.id is null then 'order.deleted'
                when o.status <> n.before ->> 'status' then 'order.status_changed'
                when to_jsonb(o) - v_derived <> n.before - v_derived then 'order.updated'
                when n.items_before <> fynlo_order_items_json(o.id) then 'order.updated'
            end as type
        from noted n
        left join lateral (
            select * from orders where id = n.subject and restaurant_id = n.restaurant_id offset 0
        ) o on n.kind = 'order'
    ), placed as (
        select c.*, row_number() over (partition by c.restaurant_id order by c.note_no) as place
        from changed c
        where c.type is not null
    ), inserted as (
        insert into restaurant_events (restaurant_id, seq, type, data, actor, message_id, created_at)
        select
            p.restaurant_id,
            s.head + p.place,
            p.type,
            case
                when p.kind = 'menu' then jsonb_build_object('version', s.menu_version + 1)
                else
                    jsonb_build_object(
                        'order_id', p.subject,
                        'order_number', p.order_number,
                        'status', p.status,
                        'version', p.version,
                        'updated_by', p.actor,
                        'timestamp', fynlo_timestamp(v_now))
                    || case
                        when p.type = 'order.status_changed'
                            then jsonb_build_object('old_status', p.before ->> 'status')
                        else '{}'
                    end
            end,
            p.actor,
            p.message_id,
            v_now
        from placed p
        cross join lateral (
            select head, menu_version from restaurant_streams where restaurant_id = p.restaurant_id offset 0
        ) s
    ), moved as (
        select
            c.restaurant_id,
            count(c.type) as events,
            count(*) filter (where c.kind = 'menu') as menus,
            count(*) filter (where c.kind = 'access') as accesses
        from changed c
        group by c.restaurant_id
    )
    update restaurant_streams s
    set head = s.head + m.events,
        menu_version = s.menu_version + m.menus,
        access_version = s.access_version + m.accesses
    from moved m
    where s.restaurant_id = any (v_restaurants) and s.restaurant_id = m.restaurant_id
        and m.events + m.menus + m.accesses > 0;
    return found;
end
$$;

-- Fires for every note as the transaction commits (or at SET CONSTRAINTS … IMMEDIATE). Notes come in the order of their
-- numbers, so the first that is still there is the first of all; it takes the others along, and they find themselves gone.
create function fynlo_number_at_commit() returns trigger
language plpgsql security definer set enable_seqscan = off as $$
begin
    if exists (
        select from pending_changes n
        where n.transaction_id = new.transaction_id and n.note_no = new.note_no
    ) then
        perform fynlo_number_changes(new.note_no);
    end if;
    return null;
end
$$;

create constraint trigger number_at_commit after insert on pending_changes
deferrable initially deferred
for each row execute function fynlo_number_at_commit();

-- Commands -----------------------------------------------------------------------------------------------------------

-- Changes the status of an order: remembered answer, checks, change, event and new answer in one statement and one commit.
--
--   outcome             answer                        event columns
--   ack                 {"id", "seq"}                 the event; all null, and no "seq", if the status was that already
--   duplicate           the first answer              null: the id was used within p_window
--   id_reused           null                          null: the id was used by another kind of command
--   invalid_status      null                          null
--   order_not_found     null                          null: or the order of another restaurant
--   version_conflict    {"order": as it is now}       null
--   invalid_transition  {"order": as it is now}       null
--
-- Only an ack is remembered, and only under a p_message_id; without one the answer has no "id". p_expected_version null:
-- any. It is checked first, so that who speaks of an older order learns so even if its status would do. All reading is by
-- key: without the setting, plans kept from when the tables were small would go on scanning them.
create function fynlo_update_order_status(
    p_restaurant uuid,
    p_user uuid,
    p_message_id text,
    p_order uuid,
    p_status text,
    p_expected_version integer,
    p_window interval default '7 days'
)
returns table (
    outcome text,
    answer jsonb,
    event_seq bigint,
    event_type text,
    event_data jsonb,
    event_actor uuid,
    event_message_id text,
    event_created_at timestamptz
)
language plpgsql volatile set enable_seqscan = off as $$
declare
    v_kind constant text := 'order.status_update';
    v_steps constant text[] := array['draft', 'pending', 'confirmed', 'preparing', 'ready', 'served', 'completed'];
    v_stored processed_commands;
    v_order orders;
    v_note bigint;
begin
    if p_message_id is not null then
        -- The same command twice at once: the second waits here and then finds the answer of the first.
        perform pg_advisory_xact_lock(hashtextextended(concat_ws(' ', p_restaurant, p_user, p_message_id), 0));
        select c.* into v_stored
        from processed_commands c
        where c.restaurant_id = p_restaurant and c.user_id = p_user and c.message_id = p_message_id
            and c.created_at > now() - p_window;
        if found then
            outcome := case when v_stored.kind = v_kind then 'duplicate' else 'id_reused' end;
            answer := case when v_stored.kind = v_kind then v_stored.answer end;
            return next;
            return;
        end if;
    end if;

    if p_status is null or p_status <> 'cancelled' and p_status <> all (v_steps) then
        outcome := 'invalid_status';
        return next;
        return;
    end if;

    select o.* into v_order
    from orders o
    where o.id = p_order and o.restaurant_id = p_restaurant
    for no key update;
    if not found then
        outcome := 'order_not_found';
        return next;
        return;
    end if;

    outcome := case
        when v_order.version <> p_expected_version then 'version_conflict'
        when v_order.status = p_status then 'ack'
        when v_order.status in ('completed', 'cancelled') then 'invalid_transition'
        when p_status = 'cancelled' then 'ack'
        when array_position(v_steps, p_status) > array_position(v_steps, v_order.status) then 'ack'
        else 'invalid_transition'
    end;
    if outcome <> 'ack' then
        answer := jsonb_build_object('order', fynlo_order_json(p_order));
        return next;
        return;
    end if;

    if v_order.status <> p_status then
        -- Numbered below, where the author is known and the event is wanted, even if the caller asked for immediate checks.
        set constraints number_at_commit deferred;
        update orders o set status = p_status where o.id = p_order;
        update pending_changes n
        set actor = p_user, message_id = p_message_id
        where n.transaction_id = pg_current_xact_id()
            and n.restaurant_id = p_restaurant and n.kind = 'order' and n.subject = p_order
        returning n.note_no into v_note;
        if fynlo_number_changes(v_note) then
            select e.seq, e.type, e.data, e.actor, e.message_id, e.created_at
            into event_seq, event_type, event_data, event_actor, event_message_id, event_created_at
            from restaurant_events e
            where e.restaurant_id = p_restaurant and e.data ->> 'order_id' = p_order::text
            order by e.seq desc
            limit 1;
        end if;
    end if;

    answer := jsonb_strip_nulls(jsonb_build_object('id', p_message_id, 'seq', event_seq));
    if p_message_id is not null then
        insert into processed_commands as c (restaurant_id, user_id, message_id, kind, answer)
        values (p_restaurant, p_user, p_message_id, v_kind, answer)
        on conflict on constraint processed_commands_pkey do update -- one that was past its window
        set kind = excluded.kind, answer = excluded.answer, created_at = excluded.created_at;
    end if;
    return next;
end
$$;

-- Functions that name tables at run time find ours, not those of the caller's search_path or of a temporary table.
do $$
declare
    v_function regprocedure;
begin
    foreach v_function in array array[
        'fynlo_create_stream()',
        'fynlo_note_order()',
        'fynlo_number_changes(bigint)',
        'fynlo_number_at_commit()',
        'fynlo_update_order_status(uuid, uuid, text, uuid, text, integer, interval)'
    ]::regprocedure[] loop
        execute format('alter function %s set search_path = %I, pg_temp', v_function, current_schema());
    end loop;
end
$$;
