drop function fynlo_post_notification(uuid, uuid, text, jsonb, interval);
drop function fynlo_update_order_status_and_read(uuid, uuid, text, uuid, text, integer, interval);
drop function fynlo_create_order(uuid, uuid, text, jsonb, interval);
drop function fynlo_remember_answer(uuid, uuid, text, text, jsonb);
drop function fynlo_recall_answer(uuid, uuid, text, text, interval);
