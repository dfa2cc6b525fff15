-- A mart as dbt projects have it: one row per order, one per customer, one per line of an order.
-- For DuckDB; what differs in other warehouses is in docs/queries.md.
WITH items AS (
    SELECT
        order_id,
        list({
            content_id: sku,
            content_name: product_name,
            content_price: unit_price,
            num_items: quantity
        } ORDER BY line_number) AS items
    FROM marts.fct_order_items
    GROUP BY order_id
)

SELECT
    orders.order_id,
    orders.web_order_number AS conversion_id, -- what the pixel sends as conversion_id
    orders.ordered_at,
    orders.updated_at,
    customers.email,
    customers.phone_number AS phone,
    customers.country_code AS country,
    orders.landing_page_url AS landing_url,
    orders.ip_address,
    orders.user_agent,
    orders.order_total AS value,
    orders.currency_code AS currency,
    orders.number_of_items AS quantity,
    customers.ads_consent AS consent, -- granted, denied or NULL
    items.items
FROM marts.fct_orders AS orders
LEFT JOIN marts.dim_customers AS customers ON orders.customer_id = customers.customer_id
LEFT JOIN items ON orders.order_id = items.order_id
WHERE
    orders.status NOT IN ('cancelled', 'refunded', 'pending_payment')
    AND NOT orders.is_test
