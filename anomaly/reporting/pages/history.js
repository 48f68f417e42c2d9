page.start();
document.documentElement.dataset.ready = "";
