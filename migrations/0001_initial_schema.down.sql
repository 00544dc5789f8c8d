-- Removes everything that 0001_initial_schema.up.sql created, with all data in it.

drop function fynlo_update_order_status(uuid, uuid, text, uuid, text, integer, interval);
drop function fynlo_access(text, uuid);
drop function fynlo_order_json(uuid);
drop function fynlo_order_items_json(uuid);
drop function fynlo_timestamp(timestamptz);

drop table pending_changes;
drop table processed_commands;
drop table restaurant_events;
drop table restaurant_streams;
drop table order_items;
drop table orders; -- and order_number_seq, which it owns
drop table product_variants;
drop table product_modifiers;
drop table products;
drop table categories;
drop table user_restaurants;
drop table users;
drop table restaurants;

-- The triggers went with their tables.
drop function fynlo_number_at_commit();
drop function fynlo_number_changes(bigint);
drop function fynlo_note_order();
drop function fynlo_create_stream();
drop function fynlo_keep_order_version();
drop function fynlo_fill_item_total();
drop function fynlo_touch_updated_at();
