"""The modules of kombu and Celery that this room extends, typed as Any: the stubs lack their internals."""

from typing import Any

from celery import bootsteps as _bootsteps
from celery.worker import consumer as _consumer
from celery.worker import pidbox as _pidbox
from celery.worker.consumer import control as _control
from kombu import transport as _transport
from kombu.transport import redis as _redis
from kombu.transport import virtual as _virtual

bootsteps: Any = _bootsteps
consumer: Any = _consumer
control: Any = _control
pidbox: Any = _pidbox
stock: Any = _redis
transports: Any = _transport
virtual: Any = _virtual
