app_name="executions"
urlpatterns=[]
