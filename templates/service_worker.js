// Shows a page of our own when the server cannot be reached. Everything else goes to the network as ever.
const CACHE = "offline-1";
const PARTS = [
  "{% url 'offline' %}",
  "{% static 'favicon.svg' %}",
  "{% static 'js/theme.js' %}",
  "{% static 'js/offline.js' %}",
  "{% static 'css/tokens.css' %}",
  "{% static 'css/house.css' %}",
  "{% static 'css/parts.css' %}",
  "{% static 'vendor/tabler/tabler.min.css' %}",
  "{% static 'vendor/icons/icons.svg' %}",
  "{% static 'vendor/inter/inter-latin-wght-normal.woff2' %}",
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PARTS)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const key of await caches.keys()) if (key !== CACHE) await caches.delete(key);
    await self.clients.claim();
  })());
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow(event.notification.data.url));
});

self.addEventListener("fetch", (event) => {
  const path = new URL(event.request.url).pathname;
  if (event.request.mode === "navigate" && event.request.method === "GET") {
    event.respondWith(fetch(event.request).catch(() => caches.match(PARTS[0])));
  } else if (PARTS.includes(path)) {
    // hashed names never change their content, so the kept copy is as good as the server's
    event.respondWith(caches.match(event.request).then((kept) => kept ?? fetch(event.request)));
  }
});
