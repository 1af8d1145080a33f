"""Settings of The Littlest JupyterHub for this course; it belongs into /opt/tljh/config/jupyterhub_config.d/."""

c = get_config()  # noqa: F821 - JupyterHub defines it where it reads this file

# Links what is shared into the student's own data folder, then starts the server.
c.Spawner.cmd = ["/srv/inner-view/deploy/start"]
c.Spawner.environment = {"INNERVIEW_SHARED": "/srv/inner-view-data"}

# From deploy/measured.json: two open notebooks of the largest chapter. Who takes more loses a kernel, not the server of
# everyone. A processor that nobody else wants is shared out, so the limit on those is only against endless loops.
c.Spawner.mem_limit = "4G"
c.Spawner.cpu_limit = 2

# The first start after an update reads some gigabytes from disk.
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
