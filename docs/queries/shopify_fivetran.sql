-- Shopify's orders as Fivetran's connector lands them: the tables "order" and order_line.
-- For DuckDB; what differs in other warehouses is in docs/queries.md.
WITH lines AS (
    SELECT
        order_id,
        sum(quantity) AS quantity,
        list({
            content_id: coalesce(nullif(sku, ''), CAST(variant_id AS VARCHAR)),
            content_group_id: CAST(product_id AS VARCHAR),
            content_name: title,
            content_price: price,
            num_items: quantity
        } ORDER BY id) AS items
    FROM shopify.order_line
    GROUP BY order_id
)

SELECT
    orders.id AS order_id,
    orders.processed_at AS ordered_at, -- when it was paid, not when an app imported it
    orders.updated_at,
    orders.email,
    coalesce(orders.phone, orders.shipping_address_phone, orders.billing_address_phone) AS phone,
    coalesce(orders.shipping_address_country_code, orders.billing_address_country_code) AS country,
    orders.landing_site_base_url AS landing_url, -- Shopify keeps the query, and X's twclid in it
    orders.browser_ip AS ip_address,
    orders.client_details_user_agent AS user_agent,
    orders.total_price AS value, -- in the shop's currency
    orders.currency,
    lines.quantity,
    lines.items
FROM shopify."order" AS orders
LEFT JOIN lines ON orders.id = lines.order_id
WHERE
    orders.cancelled_at IS NULL
    AND orders.financial_status IN ('paid', 'partially_paid', 'authorized')
    AND NOT coalesce(orders.test, FALSE)
    AND NOT coalesce(orders._fivetran_deleted, FALSE)
