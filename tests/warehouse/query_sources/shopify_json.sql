-- The tables that docs/queries/shopify_json.sql reads, with one order that counts.
CREATE SCHEMA shopify;
CREATE TABLE shopify.orders AS SELECT * FROM (VALUES
    (1::bigint, timestamptz '2026-10-20 10:00:00+00', timestamptz '2026-10-20 11:00:00+00', 'ann@example.com', NULL,
     '{"phone": "030 901820", "country_code": "DE"}'::json, NULL::json, NULL::json, '/products/book?twclid=abc',
     '{"browser_ip": "9.9.9.9", "user_agent": "Mozilla/5.0"}'::json, '40.00', 'EUR', 'paid', NULL::timestamptz, false,
     '[{"sku": "sku-1", "variant_id": 91, "product_id": 81, "title": "Book", "price": "20.00", "quantity": 1},
       {"sku": "sku-2", "variant_id": 92, "product_id": 82, "title": "Mug", "price": "10.00", "quantity": 2}]'::json),
    (2, timestamptz '2026-10-20 10:00:00+00', NULL, 'bob@example.com', NULL, NULL, NULL, NULL, NULL, NULL, '5.00', 'EUR',
     'voided', NULL, false, '[]'),
    (3, timestamptz '2026-10-20 10:00:00+00', NULL, 'bob@example.com', NULL, NULL, NULL, NULL, NULL, NULL, '5.00', 'EUR',
     'paid', NULL, true, '[]')
) AS t (id, processed_at, updated_at, email, phone, shipping_address, billing_address, customer, landing_site,
        client_details, total_price, currency, financial_status, cancelled_at, test, line_items);
