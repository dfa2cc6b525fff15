"""What Celery workers are told: dagster-celery reads this module from the folder in which a worker starts."""

import os

broker_url = os.environ["CELERY_URL"]
result_backend = os.environ["CELERY_URL"]
worker_prefetch_multiplier = 1  # a worker keeps no run that a free one could take
