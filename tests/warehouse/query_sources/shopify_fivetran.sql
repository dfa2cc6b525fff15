-- The tables that docs/queries/shopify_fivetran.sql reads, with one order that counts.
CREATE SCHEMA shopify;
CREATE TABLE shopify."order" AS SELECT * FROM (VALUES
    (1::bigint, timestamptz '2026-10-20 10:00:00+00', timestamptz '2026-10-20 11:00:00+00', 'ann@example.com', NULL,
     '030 901820', NULL, 'DE', NULL, '/products/book?twclid=abc', '9.9.9.9', 'Mozilla/5.0', 40.00::double, 'EUR',
     'paid', NULL::timestamptz, false, false),
    (2, timestamptz '2026-10-20 10:00:00+00', NULL, 'bob@example.com', NULL, NULL, NULL, 'DE', NULL, NULL, NULL, NULL,
     5, 'EUR', 'refunded', NULL, false, false),
    (3, timestamptz '2026-10-20 10:00:00+00', NULL, 'bob@example.com', NULL, NULL, NULL, 'DE', NULL, NULL, NULL, NULL,
     5, 'EUR', 'paid', NULL, true, false),
    (4, timestamptz '2026-10-20 10:00:00+00', NULL, 'bob@example.com', NULL, NULL, NULL, 'DE', NULL, NULL, NULL, NULL,
     5, 'EUR', 'paid', timestamptz '2026-10-20 12:00:00+00', NULL, NULL)
) AS t (id, processed_at, updated_at, email, phone, shipping_address_phone, billing_address_phone,
        shipping_address_country_code, billing_address_country_code, landing_site_base_url, browser_ip,
        client_details_user_agent, total_price, currency, financial_status, cancelled_at, test, _fivetran_deleted);
CREATE TABLE shopify.order_line AS SELECT * FROM (VALUES
    (12::bigint, 1::bigint, 'sku-2', 92::bigint, 82::bigint, 'Mug', 10.00::double, 2), (11, 1, 'sku-1', 91, 81, 'Book', 20.00, 1)
) AS t (id, order_id, sku, variant_id, product_id, title, price, quantity);
