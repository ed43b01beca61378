"""The parts of the model of RabbitMQ: frames, queues, topology, channels and connections."""
