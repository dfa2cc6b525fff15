-- Shopify's orders as its Admin API gives them and Airbyte lands them: one row per order, nested parts as JSON.
-- For DuckDB; what differs in other warehouses is in docs/queries.md.
WITH lines AS (
    SELECT
        id,
        list({
            content_id: coalesce(nullif(line ->> 'sku', ''), line ->> 'variant_id'),
            content_group_id: line ->> 'product_id',
            content_name: line ->> 'title',
            content_price: line ->> 'price',
            num_items: line ->> 'quantity'
        } ORDER BY position) AS items,
        sum(CAST(line ->> 'quantity' AS BIGINT)) AS quantity
    FROM (
        SELECT
            id,
            unnest(CAST(line_items AS JSON[])) AS line,
            generate_subscripts(CAST(line_items AS JSON[]), 1) AS position
        FROM shopify.orders
    )
    GROUP BY id
)

SELECT
    orders.id AS order_id,
    orders.processed_at AS ordered_at,
    orders.updated_at,
    coalesce(orders.email, orders.customer ->> 'email') AS email,
    coalesce(orders.phone, orders.shipping_address ->> 'phone') AS phone,
    coalesce(orders.shipping_address ->> 'country_code', orders.billing_address ->> 'country_code') AS country,
    orders.landing_site AS landing_url,
    orders.client_details ->> 'browser_ip' AS ip_address,
    orders.client_details ->> 'user_agent' AS user_agent,
    orders.total_price AS value,
    orders.currency,
    lines.quantity,
    lines.items
FROM shopify.orders AS orders
LEFT JOIN lines ON orders.id = lines.id
WHERE
    orders.cancelled_at IS NULL
    AND orders.financial_status IN ('paid', 'partially_paid', 'authorized')
    AND NOT coalesce(orders.test, FALSE)
