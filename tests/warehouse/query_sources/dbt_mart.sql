-- The tables that docs/queries/dbt_mart.sql reads, with one order that counts.
CREATE SCHEMA marts;
CREATE TABLE marts.fct_orders AS SELECT * FROM (VALUES
    ('1', 'W-1', 7, timestamptz '2026-10-20 10:00:00+00', timestamptz '2026-10-20 11:00:00+00',
     'https://shop.example/?twclid=abc', '9.9.9.9', 'Mozilla/5.0', 40.00::decimal(12, 2), 'EUR', 3, 'paid', false),
    ('2', 'W-2', 8, timestamptz '2026-10-20 11:00:00+00', NULL, NULL, NULL, NULL, 5, 'EUR', 1, 'cancelled', false),
    ('3', 'W-3', 7, timestamptz '2026-10-20 12:00:00+00', NULL, NULL, NULL, NULL, 5, 'EUR', 1, 'paid', true)
) AS t (order_id, web_order_number, customer_id, ordered_at, updated_at, landing_page_url, ip_address, user_agent,
        order_total, currency_code, number_of_items, status, is_test);
CREATE TABLE marts.dim_customers AS SELECT * FROM (VALUES
    (7, 'ann@example.com', '030 901820', 'DE', 'granted'), (8, 'bob@example.com', NULL, 'DE', 'granted')
) AS t (customer_id, email, phone_number, country_code, ads_consent);
CREATE TABLE marts.fct_order_items AS SELECT * FROM (VALUES
    ('1', 2, 'sku-2', 'Mug', 10.00::decimal(12, 2), 2), ('1', 1, 'sku-1', 'Book', 20.00, 1), ('2', 1, 'sku-1', 'Book', 5, 1)
) AS t (order_id, line_number, sku, product_name, unit_price, quantity);
