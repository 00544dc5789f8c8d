-- Takes 0002_change_triggers.up.sql back: changes of items, menus and access go unnoticed again.

do $$
declare
    v_trigger record;
begin
    for v_trigger in
        select t.tgname, c.relname
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal
            and (
                c.relname in (
                    'categories', 'products', 'product_modifiers', 'product_variants', 'users', 'user_restaurants',
                    'restaurants')
                and t.tgname in ('note_insert', 'note_update', 'note_delete', 'note_truncate')
                or c.relname = 'orders' and t.tgname = 'note_truncated'
                or c.relname = 'order_items'
                and t.tgname in (
                    'note_item', 'note_changed_item', 'touch_order', 'touch_order_of_changed_item', 'note_truncated'))
    loop
        execute format('drop trigger %I on %I', v_trigger.tgname, v_trigger.relname);
    end loop;
end
$$;

drop function fynlo_renew_menu(uuid);
drop function fynlo_after_truncate_access();
drop function fynlo_after_restaurants();
drop function fynlo_after_user_restaurants();
drop function fynlo_after_users();
drop function fynlo_after_menu_part();
drop function fynlo_after_menu();
drop function fynlo_note_restaurants(text, uuid[]);
drop function fynlo_before_truncate_items();
drop function fynlo_before_truncate_orders();
drop function fynlo_after_item();
drop function fynlo_before_item();
drop function fynlo_touch_order(uuid);
drop function fynlo_note_items(uuid);

-- As 0001_initial_schema.up.sql made them.

create or replace function fynlo_note_order() returns trigger
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

create or replace function fynlo_number_at_commit() returns trigger
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

-- To replace a function is to forget what was set for it.
do $$
begin
    execute format('alter function fynlo_note_order() set search_path = %I, pg_temp', current_schema());
    execute format('alter function fynlo_number_at_commit() set search_path = %I, pg_temp', current_schema());
end
$$;
