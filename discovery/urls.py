from django.urls import path

from . import pages

urlpatterns = [
    path("discovery/", pages.discovery, name="discovery"),
    path("discovery/ranges/add/", pages.add_range, name="add-range"),
    path("discovery/ranges/<int:pk>/", pages.range_page, name="range"),
    path("discovery/ranges/<int:pk>/card/", pages.range_card, name="range-card"),
    path("discovery/ranges/<int:pk>/map/", pages.range_map, name="range-map"),
    path("discovery/ranges/<int:pk>/edit/", pages.edit_range, name="edit-range"),
    path("discovery/ranges/<int:pk>/delete/", pages.delete_range, name="delete-range"),
    path("discovery/ranges/<int:pk>/crawl/", pages.start_crawl, name="start-crawl"),
    path("discovery/ranges/<int:pk>/at/<str:ip>/", pages.address, name="range-address"),
    path("discovery/crawls/<int:pk>/", pages.crawl_page, name="crawl"),
    path("discovery/crawls/<int:pk>/cancel/", pages.cancel_crawl, name="cancel-crawl"),
]
