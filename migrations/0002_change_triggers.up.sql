-- Changes by any program: of an order's items, of the menu, and of who may act for a restaurant. Each writes a note in
-- pending_changes, which is numbered as its transaction commits; the servers are woken by NOTIFY.

-- Orders: their items ------------------------------------------------------------------------------------------------

-- As before, and where one statement writes an order and its items, whose triggers come first and take the order as it then
-- is for what it was before (recognised by its version): the row before it counts.
create or replace function fynlo_note_order() returns trigger
language plpgsql security definer set timezone = 'UTC' as $$
begin
    if tg_op in ('UPDATE', 'DELETE') then
        insert into pending_changes as n (restaurant_id, kind, subject, before)
        values (old.restaurant_id, 'order', old.id, to_jsonb(old))
        on conflict (transaction_id, restaurant_id, kind, subject) where kind <> '' do update
        set before = excluded.before
        where tg_op = 'UPDATE' and n.before = to_jsonb(new);
    end if;
    if tg_op = 'INSERT' or tg_op = 'UPDATE' and (new.restaurant_id, new.id) <> (old.restaurant_id, old.id) then
        insert into pending_changes as n (restaurant_id, kind, subject)
        values (new.restaurant_id, 'order', new.id)
        on conflict (transaction_id, restaurant_id, kind, subject) where kind <> '' do update
        set before = null, items_before = null
        where n.before = to_jsonb(new);
    end if;
    return null;
end
$$;

-- Notes the order as it is before the transaction first touches one of its items, with all of them. Orders created in the
-- same transaction, or gone already, need none of this: their own event tells everything.
--
-- The order is locked first, so that what is noted is what our change follows on: no other writer comes in between.
create function fynlo_note_items(p_order uuid) returns void
language plpgsql security definer set timezone = 'UTC' set enable_seqscan = off as $$
declare
    v_order orders;
    v_note pending_changes;
begin
    select o.* into v_order from orders o where o.id = p_order for no key update;
    if not found then
        return;
    end if;
    select n.* into v_note
    from pending_changes n
    where n.transaction_id = pg_current_xact_id()
        and n.restaurant_id = v_order.restaurant_id and n.kind = 'order' and n.subject = p_order and n.kind <> '';
    if not found then
        insert into pending_changes (restaurant_id, kind, subject, before, items_before)
        values (v_order.restaurant_id, 'order', p_order, to_jsonb(v_order), fynlo_order_items_json(p_order));
    elsif v_note.before is not null and v_note.items_before is null then
        -- Touched before, but not its items.
        update pending_changes n
        set items_before = fynlo_order_items_json(p_order)
        where n.transaction_id = v_note.transaction_id and n.note_no = v_note.note_no;
    end if;
end
$$;

-- Moves the order's version on, once per transaction: unless its row has been changed already since it was noted.
create function fynlo_touch_order(p_order uuid) returns void
language plpgsql security definer set enable_seqscan = off as $$
begin
    update orders o
    set version = o.version + 1
    from pending_changes n
    where o.id = p_order
        and n.transaction_id = pg_current_xact_id()
        and n.restaurant_id = o.restaurant_id and n.kind = 'order' and n.subject = o.id and n.kind <> ''
        and (n.before ->> 'version')::integer = o.version;
end
$$;

create function fynlo_before_item() returns trigger
language plpgsql security definer as $$
begin
    if tg_op <> 'INSERT' then
        perform fynlo_note_items(old.order_id);
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if tg_op = 'INSERT' or new.order_id <> old.order_id then
        perform fynlo_note_items(new.order_id);
    end if;
    return new;
end
$$;

create function fynlo_after_item() returns trigger
language plpgsql security definer as $$
begin
    if tg_op <> 'INSERT' then
        perform fynlo_touch_order(old.order_id);
    end if;
    if tg_op = 'INSERT' or tg_op = 'UPDATE' and new.order_id <> old.order_id then
        perform fynlo_touch_order(new.order_id);
    end if;
    return null;
end
$$;

-- By name the last of the triggers before a row: fill_item_total has done its work.
create trigger note_item before insert or delete on order_items
for each row execute function fynlo_before_item();
create trigger note_changed_item before update on order_items
for each row when (old.* is distinct from new.*) execute function fynlo_before_item();
create trigger touch_order after insert or delete on order_items
for each row execute function fynlo_after_item();
create trigger touch_order_of_changed_item after update on order_items
for each row when (old.* is distinct from new.*) execute function fynlo_after_item();

create function fynlo_before_truncate_orders() returns trigger
language plpgsql security definer set timezone = 'UTC' as $$
begin
    insert into pending_changes (restaurant_id, kind, subject, before)
    select o.restaurant_id, 'order', o.id, to_jsonb(o) from orders o
    on conflict do nothing;
    return null;
end
$$;

create function fynlo_before_truncate_items() returns trigger
language plpgsql security definer as $$
declare
    v_order uuid;
begin
    for v_order in select distinct i.order_id from order_items i order by 1 loop
        perform fynlo_note_items(v_order);
        perform fynlo_touch_order(v_order);
    end loop;
    return null;
end
$$;

create trigger note_truncated before truncate on orders
for each statement execute function fynlo_before_truncate_orders();
create trigger note_truncated before truncate on order_items
for each statement execute function fynlo_before_truncate_items();

-- The menu -----------------------------------------------------------------------------------------------------------

-- Notes that the menus of these restaurants, or the access to them, have changed; null stands for none of them.
create function fynlo_note_restaurants(p_kind text, p_restaurants uuid[]) returns void
language sql security definer as $$
    insert into pending_changes (restaurant_id, kind, subject)
    select distinct r, p_kind, r from unnest(p_restaurants) r where r is not null
    on conflict do nothing;
$$;

-- One function for the statements on categories and products, which name their restaurant, and one for what belongs to a
-- product. A statement that changes nothing is no change of the menu. The tables of old and new rows exist only for the
-- statements that have them.
create function fynlo_after_menu() returns trigger
language plpgsql security definer as $$
begin
    if tg_op = 'INSERT' then
        perform fynlo_note_restaurants('menu', array(select distinct restaurant_id from new_rows));
    elsif tg_op = 'DELETE' then
        perform fynlo_note_restaurants('menu', array(select distinct restaurant_id from old_rows));
    elsif tg_op = 'TRUNCATE' then
        perform fynlo_note_restaurants('menu', array(select restaurant_id from restaurant_streams));
    else
        perform fynlo_note_restaurants(
            'menu', array(
                select restaurant_id from (
                    (table old_rows except all table new_rows) union all (table new_rows except all table old_rows)
                ) changed
            ));
    end if;
    return null;
end
$$;

create function fynlo_after_menu_part() returns trigger
language plpgsql security definer as $$
begin
    if tg_op = 'INSERT' then
        perform fynlo_note_restaurants(
            'menu', array(select p.restaurant_id from products p where p.id in (select product_id from new_rows)));
    elsif tg_op = 'DELETE' then
        perform fynlo_note_restaurants(
            'menu', array(select p.restaurant_id from products p where p.id in (select product_id from old_rows)));
    elsif tg_op = 'TRUNCATE' then
        perform fynlo_note_restaurants('menu', array(select restaurant_id from restaurant_streams));
    else
        perform fynlo_note_restaurants(
            'menu', array(
                select p.restaurant_id from products p where p.id in (
                    select product_id from (
                        (table old_rows except all table new_rows) union all (table new_rows except all table old_rows)
                    ) changed
                )
            ));
    end if;
    return null;
end
$$;

-- Access -------------------------------------------------------------------------------------------------------------

-- Users who are new are known to nobody yet. A platform owner may act for every restaurant, so all of them are concerned.
create function fynlo_after_users() returns trigger
language plpgsql security definer as $$
declare
    v_users uuid[];
    v_homes uuid[];
    v_is_everywhere boolean;
begin
    if tg_op = 'DELETE' then
        select array_agg(o.id), array_agg(o.restaurant_id), bool_or(o.role = 'platform_owner')
        into v_users, v_homes, v_is_everywhere
        from old_rows o;
    else
        select
            array_agg(o.id),
            array_agg(o.restaurant_id) || array_agg(n.restaurant_id),
            bool_or('platform_owner' in (o.role, n.role))
        into v_users, v_homes, v_is_everywhere
        from old_rows o
        left join new_rows n on n.id = o.id
        where (o.supabase_id, o.role, o.restaurant_id, o.is_active)
            is distinct from (n.supabase_id, n.role, n.restaurant_id, n.is_active);
    end if;
    if v_is_everywhere then
        perform fynlo_note_restaurants('access', array(select restaurant_id from restaurant_streams));
    elsif v_users is not null then
        perform fynlo_note_restaurants(
            'access', v_homes || array(select restaurant_id from user_restaurants where user_id = any (v_users)));
    end if;
    return null;
end
$$;

create function fynlo_after_user_restaurants() returns trigger
language plpgsql security definer as $$
begin
    if tg_op in ('DELETE', 'UPDATE') then
        perform fynlo_note_restaurants('access', array(select restaurant_id from old_rows));
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        perform fynlo_note_restaurants('access', array(select restaurant_id from new_rows));
    end if;
    return null;
end
$$;

-- A restaurant that is deleted takes its counter along, by which the servers notice.
create function fynlo_after_restaurants() returns trigger
language plpgsql security definer as $$
begin
    perform fynlo_note_restaurants(
        'access', array(
            select o.id from old_rows o left join new_rows n on n.id = o.id
            where o.is_active is distinct from n.is_active));
    return null;
end
$$;

create function fynlo_after_truncate_access() returns trigger
language plpgsql security definer as $$
begin
    perform fynlo_note_restaurants('access', array(select restaurant_id from restaurant_streams));
    return null;
end
$$;

-- A trigger sees the rows of one kind of statement only, so each table has three.
do $$
declare
    v_table text;
    v_function text;
    v_operation text;
    v_rows text;
begin
    for v_table, v_function in
        values ('categories', 'fynlo_after_menu'), ('products', 'fynlo_after_menu'),
            ('product_modifiers', 'fynlo_after_menu_part'), ('product_variants', 'fynlo_after_menu_part'),
            ('users', 'fynlo_after_users'), ('user_restaurants', 'fynlo_after_user_restaurants'),
            ('restaurants', 'fynlo_after_restaurants')
    loop
        for v_operation, v_rows in
            values ('insert', 'new table as new_rows'), ('delete', 'old table as old_rows'),
                ('update', 'old table as old_rows new table as new_rows')
        loop
            continue when v_table = 'users' and v_operation = 'insert';
            continue when v_table = 'restaurants' and v_operation <> 'update';
            execute format(
                'create trigger note_%s after %s on %I referencing %s for each statement execute function %I()',
                v_operation, v_operation, v_table, v_rows, v_function);
        end loop;
        continue when v_table = 'restaurants';
        execute format(
            'create trigger note_truncate after truncate on %I for each statement execute function %I()',
            v_table, case when v_function like 'fynlo_after_menu%' then v_function else 'fynlo_after_truncate_access' end);
    end loop;
end
$$;

-- Waking the servers -------------------------------------------------------------------------------------------------

-- As before, and wakes the servers: other programs' commits by NOTIFY. The servers themselves (fynlo.server is set as they
-- connect) tell each other by cheaper means, since NOTIFY lets the transactions of the whole database commit one by one
-- only. A payload is "restaurant head menu_version access_version", or "*" when there are too many to list. It is a hint:
-- who misses it finds the counters moved within a second.
create or replace function fynlo_number_at_commit() returns trigger
language plpgsql security definer set enable_seqscan = off as $$
declare
    v_restaurants uuid[];
begin
    if not exists (
        select from pending_changes n
        where n.transaction_id = new.transaction_id and n.note_no = new.note_no
    ) then
        return null;
    end if;
    v_restaurants := array(
        select distinct n.restaurant_id
        from pending_changes n
        where n.transaction_id = new.transaction_id and n.note_no >= new.note_no);
    if fynlo_number_changes(new.note_no) and current_setting('fynlo.server', true) is distinct from 'on' then
        if cardinality(v_restaurants) > 100 then
            perform pg_notify('fynlo_changes', '*');
        else
            perform pg_notify(
                'fynlo_changes', concat_ws(' ', s.restaurant_id, s.head, s.menu_version, s.access_version))
            from restaurant_streams s
            where s.restaurant_id = any (v_restaurants);
        end if;
    end if;
    return null;
end
$$;

-- Says that the menu of a restaurant has changed in some way that no trigger sees: every copy is old, and the tablets are
-- told. Returns the new version; null: there is no such restaurant.
create function fynlo_renew_menu(p_restaurant uuid) returns bigint
language plpgsql volatile set enable_seqscan = off as $$
declare
    v_note bigint;
begin
    set constraints number_at_commit deferred;
    insert into pending_changes (restaurant_id, kind, subject)
    values (p_restaurant, 'menu', p_restaurant)
    returning note_no into v_note;
    perform fynlo_number_changes(v_note);
    return (select s.menu_version from restaurant_streams s where s.restaurant_id = p_restaurant);
end
$$;

-- Functions that name tables at run time find ours, not those of the caller's search_path or of a temporary table.
do $$
declare
    v_function regprocedure;
begin
    foreach v_function in array array[
        'fynlo_note_order()',
        'fynlo_note_items(uuid)',
        'fynlo_touch_order(uuid)',
        'fynlo_before_item()',
        'fynlo_after_item()',
        'fynlo_before_truncate_orders()',
        'fynlo_before_truncate_items()',
        'fynlo_note_restaurants(text, uuid[])',
        'fynlo_after_menu()',
        'fynlo_after_menu_part()',
        'fynlo_after_users()',
        'fynlo_after_user_restaurants()',
        'fynlo_after_restaurants()',
        'fynlo_after_truncate_access()',
        'fynlo_number_at_commit()',
        'fynlo_renew_menu(uuid)'
    ]::regprocedure[] loop
        execute format('alter function %s set search_path = %I, pg_temp', v_function, current_schema());
    end loop;
end
$$;
