-- The commands of the REST API: new orders, and messages to a restaurant's tablets. As fynlo_update_order_status, each is one
-- statement and one commit, remembered under p_message_id (null: not at all) for p_window.

-- Takes hold of a command's id until the commit, and tells what it was used for: `duplicate` and the first answer, or
-- `id_reused` if another kind of command used it. No row: it is free.
create function fynlo_recall_answer(
    p_restaurant uuid,
    p_user uuid,
    p_message_id text,
    p_kind text,
    p_window interval
)
returns table (outcome text, answer jsonb)
language plpgsql volatile set enable_seqscan = off as $$
begin
    if p_message_id is null then
        return;
    end if;
    -- The same lock for all kinds of commands: of two at once the second waits here, and then finds the answer of the first.
    perform pg_advisory_xact_lock(hashtextextended(concat_ws(' ', p_restaurant, p_user, p_message_id), 0));
    return query
    select
        case when c.kind = p_kind then 'duplicate' else 'id_reused' end,
        case when c.kind = p_kind then c.answer end
    from processed_commands c
    where c.restaurant_id = p_restaurant and c.user_id = p_user and c.message_id = p_message_id
        and c.created_at > now() - p_window;
end
$$;

-- Keeps the answer of a command whose id was free.
create function fynlo_remember_answer(
    p_restaurant uuid,
    p_user uuid,
    p_message_id text,
    p_kind text,
    p_answer jsonb
)
returns void
language plpgsql volatile set enable_seqscan = off as $$
begin
    if p_message_id is not null then
        insert into processed_commands as c (restaurant_id, user_id, message_id, kind, answer)
        values (p_restaurant, p_user, p_message_id, p_kind, p_answer)
        on conflict on constraint processed_commands_pkey do update -- one that was past its window
        set kind = excluded.kind, answer = excluded.answer, created_at = excluded.created_at;
    end if;
end
$$;

-- Makes an order with its items, its event and the answer.
--
--   outcome          answer                                       event columns
--   created          {"id", "seq", "order": as fynlo_order_json}  the event
--   duplicate        the first answer                             null
--   id_reused        null                                         null
--   unknown_product  {"item": index, from 0}                      null: this item's product is not of the restaurant
--
-- p_order: table_number, customer_name, notes (text or null), order_type, subtotal, tax_amount, service_charge,
-- discount_amount, tip_amount, total_amount, and items: a list of product_id (or null), product_name, quantity, unit_price,
-- total_price, modifiers, special_instructions (or null). Amounts are what the caller has computed.
create function fynlo_create_order(
    p_restaurant uuid,
    p_user uuid,
    p_message_id text,
    p_order jsonb,
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
language plpgsql volatile set enable_seqscan = off set jit = off as $$
declare
    v_kind constant text := 'order.create';
    v_products uuid[];
    v_item bigint;
    v_order uuid;
    v_note bigint;
begin
    select r.outcome, r.answer into outcome, answer
    from fynlo_recall_answer(p_restaurant, p_user, p_message_id, v_kind, p_window) r;
    if found then
        return next;
        return;
    end if;

    -- Held until the commit, as the foreign key would do it a moment later: a product that is being deleted is gone.
    v_products := array(
        select p.id
        from products p
        where p.restaurant_id = p_restaurant
            and p.id in (select (i ->> 'product_id')::uuid from jsonb_array_elements(p_order -> 'items') i)
        order by p.id
        for key share);
    select min(i.place) - 1 into v_item
    from jsonb_array_elements(p_order -> 'items') with ordinality i (item, place)
    where i.item ->> 'product_id' is not null and (i.item ->> 'product_id')::uuid <> all (v_products);
    if v_item is not null then
        outcome := 'unknown_product';
        answer := jsonb_build_object('item', v_item);
        return next;
        return;
    end if;

    -- Numbered below, where the author is known, even if the caller asked for immediate checks.
    set constraints number_at_commit deferred;
    loop
        -- A number that another program has given already is passed over.
        insert into orders (
            restaurant_id, table_number, customer_name, order_type, notes, subtotal, tax_amount, service_charge,
            discount_amount, tip_amount, total_amount, created_by)
        select
            p_restaurant, o.table_number, o.customer_name, o.order_type, o.notes, o.subtotal, o.tax_amount,
            o.service_charge, o.discount_amount, o.tip_amount, o.total_amount, p_user
        from jsonb_to_record(p_order) as o (
            table_number text, customer_name text, order_type text, notes text, subtotal numeric, tax_amount numeric,
            service_charge numeric, discount_amount numeric, tip_amount numeric, total_amount numeric)
        on conflict on constraint orders_restaurant_id_order_number_key do nothing
        returning id into v_order;
        exit when found;
    end loop;
    insert into order_items (
        order_id, product_id, product_name, quantity, unit_price, total_price, modifiers, special_instructions)
    select
        v_order, i.product_id, i.product_name, i.quantity, i.unit_price, i.total_price, i.modifiers,
        i.special_instructions
    from jsonb_array_elements(p_order -> 'items') with ordinality e (item, place)
    cross join lateral jsonb_to_record(e.item) as i (
        product_id uuid, product_name text, quantity integer, unit_price numeric, total_price numeric, modifiers jsonb,
        special_instructions text)
    order by e.place;

    update pending_changes n
    set actor = p_user, message_id = p_message_id
    where n.transaction_id = pg_current_xact_id()
        and n.restaurant_id = p_restaurant and n.kind = 'order' and n.subject = v_order
    returning n.note_no into v_note;
    if fynlo_number_changes(v_note) then
        select e.seq, e.type, e.data, e.actor, e.message_id, e.created_at
        into event_seq, event_type, event_data, event_actor, event_message_id, event_created_at
        from restaurant_events e
        where e.restaurant_id = p_restaurant and e.data ->> 'order_id' = v_order::text
        order by e.seq desc
        limit 1;
    end if;

    outcome := 'created';
    answer := jsonb_strip_nulls(jsonb_build_object('id', p_message_id, 'seq', event_seq))
        || jsonb_build_object('order', fynlo_order_json(v_order));
    perform fynlo_remember_answer(p_restaurant, p_user, p_message_id, v_kind, answer);
    return next;
end
$$;

-- fynlo_update_order_status, and besides: the order as it is after it and the head of the stream, of one snapshot; both null
-- if the restaurant has no such order.
create function fynlo_update_order_status_and_read(
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
    event_created_at timestamptz,
    order_now jsonb,
    stream_head bigint
)
language plpgsql volatile set enable_seqscan = off as $$
begin
    select u.*
    into outcome, answer, event_seq, event_type, event_data, event_actor, event_message_id, event_created_at
    from fynlo_update_order_status(
        p_restaurant, p_user, p_message_id, p_order, p_status, p_expected_version, p_window) u;
    select fynlo_order_json(o.id), s.head into order_now, stream_head
    from orders o
    join restaurant_streams s on s.restaurant_id = o.restaurant_id
    where o.id = p_order and o.restaurant_id = p_restaurant;
    return next;
end
$$;

-- Writes a system.notification event with p_data, numbered under the counter's lock as all events are.
--
--   outcome             answer           event columns
--   posted              {"id", "seq"}    the event
--   duplicate           the first answer null
--   id_reused           null             null
--   unknown_restaurant  null             null
create function fynlo_post_notification(
    p_restaurant uuid,
    p_user uuid,
    p_message_id text,
    p_data jsonb,
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
    v_kind constant text := 'system.notification';
begin
    select r.outcome, r.answer into outcome, answer
    from fynlo_recall_answer(p_restaurant, p_user, p_message_id, v_kind, p_window) r;
    if found then
        return next;
        return;
    end if;

    update restaurant_streams s set head = s.head + 1 where s.restaurant_id = p_restaurant
    returning s.head into event_seq;
    if not found then
        outcome := 'unknown_restaurant';
        return next;
        return;
    end if;
    event_type := v_kind;
    event_data := p_data;
    event_actor := p_user;
    event_message_id := p_message_id;
    event_created_at := clock_timestamp(); -- read under the lock, so that created_at rises with seq
    insert into restaurant_events (restaurant_id, seq, type, data, actor, message_id, created_at)
    values (p_restaurant, event_seq, event_type, event_data, event_actor, event_message_id, event_created_at);

    outcome := 'posted';
    answer := jsonb_strip_nulls(jsonb_build_object('id', p_message_id, 'seq', event_seq));
    perform fynlo_remember_answer(p_restaurant, p_user, p_message_id, v_kind, answer);
    return next;
end
$$;

-- Functions that name tables at run time find ours, not those of the caller's search_path or of a temporary table.
do $$
declare
    v_function regprocedure;
begin
    foreach v_function in array array[
        'fynlo_recall_answer(uuid, uuid, text, text, interval)',
        'fynlo_remember_answer(uuid, uuid, text, text, jsonb)',
        'fynlo_create_order(uuid, uuid, text, jsonb, interval)',
        'fynlo_update_order_status_and_read(uuid, uuid, text, uuid, text, integer, interval)',
        'fynlo_post_notification(uuid, uuid, text, jsonb, interval)'
    ]::regprocedure[] loop
        execute format('alter function %s set search_path = %I, pg_temp', v_function, current_schema());
    end loop;
end
$$;
